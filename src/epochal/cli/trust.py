"""Let a project run the model code in its folder, after you read it; any change takes the trust away."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from epochal.cli.arguments import UsageError, add_json, add_project
from epochal.cli.console import Console


if TYPE_CHECKING:
    from epochal.project.code import Code
    from epochal.project.trust import Standing

SUMMARY = "let a project run its own model code"


def prepare(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    add_project(parser)
    parser.add_argument("--run", metavar="RUN", help="the code a run's model is made of, as its bundle holds it")
    parser.add_argument("--yes", action="store_true", help="do not ask: you have read the files")
    parser.add_argument("--revoke", action="store_true", help="take back all trust in this folder")
    add_json(parser)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Show what would run, ask, remember; 1 when the answer is no."""
    from epochal.project import trust
    from epochal.project.read import read_text

    read_text(arguments.dir / "project.toml")  # only a project has code to trust
    if arguments.revoke:
        gone = trust.revoke(arguments.dir)
        if console.as_json:
            console.document({"trusted": False, "revoked": gone})
        else:
            console.say(f"nothing in {arguments.dir} may run any more" if gone else f"{arguments.dir} was not trusted")
        return 0
    found = trust.standing(arguments.dir) if arguments.run is None else _of_run(arguments)
    if not found.code.files:
        lacking = found.code.lacking
        raise UsageError(
            "there is no code here that could run" + (f": {lacking}" if lacking else ""),
            fix="copy the file into the folder"
            if lacking
            else 'docs/own-model.md says how to write a model; [model] family = "own" names it',
            code="no-code",
        )
    if not found.trusted:
        if not console.as_json:
            _say(found, console)
        if not arguments.yes and not _asked(console):
            return 1
        trust.trust(arguments.dir, found.code)
    _done(found.code, console, again=found.trusted)
    return 0


def _of_run(arguments: argparse.Namespace) -> Standing:
    """The code in a run's bundle, and how it stands with the person."""
    from epochal.project.code import read_code
    from epochal.project.trust import Standing, trusted_states
    from epochal.runs.state import find_run

    info = find_run(arguments.dir, arguments.run)
    code = read_code(info.folder / "bundle" / "code")
    states = trusted_states(arguments.dir)
    return Standing(code=code, states=states, trusted=any(s.digest == code.digest for s in states))


def _say(found: Standing, console: Console) -> None:
    from epochal.project.trust import TRUSTING, short

    since = found.since
    marks = {} if since is None else {**dict.fromkeys(since.added, "added"), **dict.fromkeys(since.changed, "changed")}
    rows = [(name, short(sha256), marks.get(name, "")) for name, sha256 in found.code.files.items()]
    console.table(("file", "sha256", "since you trusted it" if since is not None else ""), rows)
    if since is not None and since.removed:
        console.say(f"removed since you trusted it: {', '.join(since.removed)}")
    for name, why in found.code.left_out.items():
        console.say(f"left out, and cannot be imported: {name} ({why})")
    console.say()
    console.say(TRUSTING)
    console.say()


def _asked(console: Console) -> bool:
    """Whether the person says yes. Raises UsageError where nobody can be asked."""
    if console.as_json or not sys.stdin.isatty():
        raise UsageError(
            "nobody can be asked whether these files are trusted", fix="after reading them, add --yes", code="no-answer"
        )
    sys.stderr.write("Trust these files? [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() in {"y", "yes"}:
        return True
    console.say("not trusted; nothing of it will run")
    return False


def _done(code: Code, console: Console, *, again: bool) -> None:
    from epochal.project.trust import short

    if console.as_json:
        console.document({"trusted": True, "digest": code.digest, "files": dict(code.files)})
    elif again:
        console.say(f"already trusted: {len(code.files)} file{'s' * (len(code.files) != 1)}, code {short(code.digest)}")
    else:
        console.say(f"trusted, code {short(code.digest)}; a change of any file takes it away")

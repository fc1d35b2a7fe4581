"""Write docs/reference.md from the code: project.toml, steps, families, metrics, commands and keys.

python docs/make_reference.py           writes it
python docs/make_reference.py --check   exits with 1 when it is out of date
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import MISSING, fields
from pathlib import Path

from epochal.cli.documents import KEYS, LISTS
from epochal.cli.main import VERBS, parser_of
from epochal.core.settings import TABLES
from epochal.core.steps import OPS
from epochal.core.tasks import FAMILIES, METRICS, TASKS
from epochal.workbench.commands import COMMANDS


TARGET = Path(__file__).parent / "reference.md"


GRAMMAR = """\
`epochal [PATH]` opens the workbench on a project folder, a data file or URI, or, with nothing, on recent and sample \
projects. A PATH that reads like a verb is given as `./train`. `--theme NAME` takes another theme for this start.

Exit codes: 0 done; 1 a check found errors, a target was missed (`--require`), or a run failed or diverged; 2 wrong \
usage or bad input; 3 the run was interrupted; 130 ctrl-c; 141 the reader of \
the output went away, as in `| head`.

`--json` prints one JSON document on stdout and nothing else; notices go to stderr, and so does an error, as \
`{"error": {"code", "what", "where", "fix"}}`. More keys may be added, none goes or is renamed.

`--set` takes a dotted path into project.toml and a TOML value; a bare word is a text."""


READING = """\
Without `delimiter` a comma, semicolon, tab, bar or space is found from the first lines. A space means any number of \
them, and none counts at an end of the line, as in aligned columns; it is found where every line has as many fields and \
one of three or more columns, or both of two, hold only numbers or dates, and `epochal new` then writes `delimiter = " "`. \
`epochal predict` reads a new file by the `encoding`, `delimiter`, `quote` and `header` of the first source, unless only \
the guess finds columns in it that the project knows."""


def reference() -> str:
    """The whole page."""
    parts = (
        _head(),
        _settings(),
        _steps(),
        _families(),
        _metrics(),
        _verbs(),
        _keys(),
    )
    return "\n".join(line for part in parts for line in part) + "\n"


def _head() -> Iterator[str]:
    yield "# Reference"
    yield ""
    yield "Made from the code by `python docs/make_reference.py`; a test fails when it is out of date."


def _table(head: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> Iterator[str]:
    yield ""
    yield "| " + " | ".join(head) + " |"
    yield "|" + " --- |" * len(head)
    for row in rows:
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"


def _settings() -> Iterator[str]:
    yield ""
    yield "## project.toml"
    yield ""
    yield "`format = 1` and `name` stand at the top. An unknown key is an error that names the nearest known one."
    for name, cls in TABLES.items():
        if name == "model":
            continue
        brackets = f"[[{name}]]" if name == "source" else f"[{name}]"
        yield ""
        yield f"### {brackets}"
        yield from _table(("key", "default", "is", "means"), _rows_of(cls))
        if name == "source":
            yield ""
            yield READING
    yield ""
    yield "### [model]"
    yield ""
    yield "`family`, and the family's own settings (below)."


def _rows_of(cls: type) -> Iterator[tuple[str, ...]]:
    for declared in fields(cls):
        default = declared.default
        shown = "" if default is MISSING or default in ("", None, ()) else f"`{default}`"
        choices = ", ".join(f"`{c}`" for c in declared.metadata["choices"] if c)
        yield f"`{declared.name}`", shown, choices or declared.metadata["expected"], declared.metadata["meaning"]


def _steps() -> Iterator[str]:
    yield ""
    yield "## Cleaning steps"
    yield ""
    yield "Each is a `[[clean]]` table with `op` and its parameters; `enabled = false` leaves one out."
    yield from _table(
        ("op", "does", "parameters", "removes rows"),
        (
            (
                f"`{op.name}`",
                op.title,
                "; ".join(f"`{p.name}`{'' if p.required else ' (optional)'}: {p.meaning}" for p in op.params),
                "yes" if op.removes_rows else "",
            )
            for op in OPS.values()
        ),
    )


def _families() -> Iterator[str]:
    yield ""
    yield "## Families"
    for family in FAMILIES.values():
        yield ""
        yield f"### {family.name}: {family.title}"
        yield ""
        yield f"For {' and '.join(family.tasks)}. {family.why[0].upper()}{family.why[1:]}."
        yield from _table(
            ("setting", "default", "means"),
            (
                (f"`{o.name}`", f"`{o.default}`" if o.default != "" else "none: give it", o.meaning)
                for o in family.options
            ),
        )


def _metrics() -> Iterator[str]:
    yield ""
    yield "## Metrics"
    yield from _table(
        ("metric", "tasks", "better is", "means"),
        (
            (
                f"`{m.name}`",
                ", ".join(t.name for t in TASKS.values() if m.name in t.metrics),
                "higher" if m.higher_is_better else "lower",
                m.meaning,
            )
            for m in METRICS.values()
        ),
    )


def _verbs() -> Iterator[str]:
    yield ""
    yield "## Command line"
    yield ""
    yield GRAMMAR
    for name, module in VERBS.items():
        parser = parser_of(name)
        actions = [a for a in parser._actions if a.dest != "help"]  # noqa: SLF001 -- no public list of them
        yield ""
        yield f"### epochal {name}"
        yield ""
        yield (module.__doc__ or "").strip()
        yield from _table(("argument", "does"), ((f"`{_argument(a)}`", a.help or "") for a in actions))
        documents = [(c, keys) for c, keys in KEYS.items() if c.partition(" ")[0] == name]
        if documents:
            yield from _table(
                ("with `--json`", "prints"),
                (
                    (
                        f"`epochal {c}`",
                        ("a list of objects with " if c in LISTS else "") + ", ".join(f"`{k}`" for k in keys),
                    )
                    for c, keys in documents
                ),
            )


def _argument(action: argparse.Action) -> str:
    """How an argument is written: our own words, as those of argparse differ between versions of Python."""
    if isinstance(action.metavar, tuple):
        return f"{', '.join(action.option_strings)} {' '.join(action.metavar)}".strip()
    value = str(action.metavar or (f"{{{','.join(map(str, action.choices))}}}" if action.choices else ""))
    if not action.option_strings:
        return f"[{value}]" if action.nargs == "?" else value
    return f"{', '.join(action.option_strings)} {value}".strip()


def _keys() -> Iterator[str]:
    yield ""
    yield "## Keys and commands"
    yield ""
    yield "A person's `keys.toml` changes any of them by id. Everything here is also in the palette (`:`)."
    yield from _table(
        ("keys", "command", "where", "does", "command line"),
        (
            (
                ", ".join(f"`{k}`" for k in c.keys),
                f"`{c.id}`",
                ", ".join(c.stages) or "everywhere",
                c.help,
                f"`epochal {c.cli}`" if c.cli else "",
            )
            for c in COMMANDS
        ),
    )


def main() -> int:
    """Write, or check."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    text = reference()
    if parser.parse_args().check:
        same = TARGET.exists() and TARGET.read_text(encoding="utf-8") == text
        print("up to date" if same else "docs/reference.md is out of date: run python docs/make_reference.py")
        return 0 if same else 1
    TARGET.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

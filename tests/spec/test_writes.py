"""Every write of the program goes through `epochal.fsio`: nothing else replaces, renames or opens a file to write."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import epochal


SOURCE = Path(epochal.__file__).parent
ALLOWED = {
    "data/predict_output.py": "fills the temporary file that fsio.new_file gave it",
    "cli/main.py": "opens /dev/null in place of a standard output that is gone",
    "testing.py": "makes tiny inputs for tests",
}


def writes(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, (ast.Attribute, ast.Name))):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id
        owner = ast.unparse(node.func.value) if isinstance(node.func, ast.Attribute) else ""
        beside = name in {"write_text", "write_bytes"} and owner != "fsio"
        moves = name in {"rename", "renames", "symlink_to", "hardlink_to"} or (owner, name) == ("os", "replace")
        arguments = [*node.args, *(k.value for k in node.keywords)]
        if beside or moves or (name == "open" and any(_writing(a) for a in arguments)):
            yield node.lineno, name


def _writing(argument: ast.expr) -> bool:
    if isinstance(argument, ast.Constant):
        mode = argument.value
        return (
            isinstance(mode, str)
            and 0 < len(mode) <= 3
            and set(mode) <= set("rwxab+t")
            and bool(set(mode) & set("wxa+"))
        )
    return any(flag in ast.unparse(argument) for flag in ("O_WRONLY", "O_RDWR", "O_CREAT"))


def test_only_fsio_writes():
    found = {
        f"{path.relative_to(SOURCE)}:{line} {what}"
        for path in SOURCE.rglob("*.py")
        if path.relative_to(SOURCE).parts[0] != "fsio" and path.relative_to(SOURCE).as_posix() not in ALLOWED
        for line, what in writes(ast.parse(path.read_text(encoding="utf-8")))
    }
    assert found == set()

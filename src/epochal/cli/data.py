"""The cleaned table, its SQL, profile, rejects and ledger."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from epochal.cli.arguments import add_json, add_project, count
from epochal.cli.console import Console
from epochal.show import grouped


if TYPE_CHECKING:
    from epochal.workbench.data_client import DataClient

SUMMARY = "show the cleaned data, its SQL, profile, rejects, ledger"


def prepare(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    add_project(parser)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--sql", action="store_true", help="the recipe as one SQL statement")
    what.add_argument("--profile", action="store_true", help="kinds, missing, distinct, range, top values")
    what.add_argument("--rejects", action="store_true", help="lines and cells that did not fit")
    what.add_argument("--ledger", action="store_true", help="the account of every line and row")
    what.add_argument("--export", metavar="FILE", type=Path, help="write the cleaned rows: .csv, .parquet or .jsonl")
    parser.add_argument("--rows", metavar="N", type=count, default=20, help="rows to show (default: 20)")
    add_json(parser)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Ask the data host and show."""
    from epochal.core.settings import to_document
    from epochal.data.protocol import ReadNotices
    from epochal.project.outputs import refuse_overwriting
    from epochal.project.read import read_project
    from epochal.workbench.data_client import DataClient

    project = read_project(arguments.dir)
    if arguments.export:
        refuse_overwriting(arguments.export, arguments.dir, project)
    document = to_document(project)
    where: dict[str, Any] = {"folder": str(arguments.dir.absolute()), "document": document}
    with DataClient() as client:
        for notice in client.ask(ReadNotices(**where), progress=console.progress)["notices"]:
            console.notice(notice)
        if arguments.sql:
            _sql(client, where, console)
        elif arguments.profile:
            _profile(client, where, console)
        elif arguments.rejects:
            _rejects(client, where, console)
        elif arguments.ledger:
            _ledger(client, where, console)
        elif arguments.export:
            _export(client, where, arguments.export, console)
        else:
            _rows(client, where, arguments.rows, console)
    return 0


def _sql(client: DataClient, where: dict[str, Any], console: Console) -> None:
    from epochal.data.protocol import ReadSql

    answer = client.ask(ReadSql(**where), progress=console.progress)
    if console.as_json:
        console.document(answer)
    else:
        console.say(answer["sql"])


def _profile(client: DataClient, where: dict[str, Any], console: Console) -> None:
    from epochal.data.protocol import OpenView, ReadProfile

    view = client.ask(OpenView(**where), progress=console.progress)
    profiles = [
        asdict(client.ask(ReadProfile(token=view.token, column=c.name, exact=True), progress=console.progress))
        for c in view.columns
    ]
    if console.as_json:
        console.document(
            [{k: v for k, v in p.items() if v is not None} | {"min": p["min"], "max": p["max"]} for p in profiles]
        )
        return
    console.table(
        ("column", "kind", "missing", "distinct", "min", "max", "most frequent"),
        [
            (
                p["column"],
                p["kind"],
                grouped(p["missing"]),
                grouped(p["distinct"]),
                p["min"],
                p["max"],
                ", ".join(f"{v} ({grouped(n)})" for v, n in p["top"][:3]),
            )
            for p in profiles
        ],
        right=(2, 3),
    )


def _rejects(client: DataClient, where: dict[str, Any], console: Console) -> None:
    from epochal.data.protocol import ReadRejects

    answer = client.ask(ReadRejects(**where), progress=console.progress)
    rejects = answer["rejects"]
    if console.as_json:
        console.document(rejects)
    elif not rejects:
        console.say("nothing was rejected")
    else:
        console.table(
            ("source", "line", "column", "kind", "text"),
            [(r["source"], r["line"], r["column"] or "–", r["kind"], r["text"]) for r in rejects],
            right=(1,),
        )
    if answer["total"] > len(rejects):
        console.notice(f"{grouped(len(rejects))} of {grouped(answer['total'])} shown")


def _ledger(client: DataClient, where: dict[str, Any], console: Console) -> None:
    from epochal.data.protocol import ReadLedger

    answer = client.ask(ReadLedger(**where), progress=console.progress)
    if console.as_json:
        console.document({k: v for k, v in answer.items() if k != "words"})
    else:
        for sentence in answer["words"]:
            console.say(sentence)


def _export(client: DataClient, where: dict[str, Any], path: Path, console: Console) -> None:
    from epochal.data.protocol import Export

    answer = client.ask(Export(**where, path=str(path.absolute())), progress=console.progress)
    if console.as_json:
        console.document({"rows": answer["rows"], "path": str(path)})
    else:
        console.say(f"{grouped(answer['rows'])} rows written to {path}")


def _rows(client: DataClient, where: dict[str, Any], wanted: int, console: Console) -> None:
    from epochal.data.protocol import OpenView, ReadPage

    view = client.ask(OpenView(**where), progress=console.progress)
    names = tuple(c.name for c in view.columns)
    page = client.ask(ReadPage(token=view.token, first=0, count=wanted, columns=names, cut=40))
    if console.as_json:
        console.document(
            {"rows": view.rows, "columns": list(names), "first": [dict(zip(names, r, strict=True)) for r in page.rows]}
        )
        return
    console.table(
        [c.title for c in view.columns],
        [["·" if v is None else v for v in row] for row in page.rows],
        right=[i for i, c in enumerate(view.columns) if c.right],
    )
    console.say(f"{grouped(view.rows)} rows × {len(names)} columns after cleaning")

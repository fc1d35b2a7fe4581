"""The account of every line and row, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from epochal.core.steps import OPS
from epochal.show import safe
from epochal.workbench.views.words import count, some


def ledger_words(ledger: Mapping[str, Any]) -> tuple[str, ...]:
    """One sentence for each line of the account; nothing when there is none."""
    if not ledger:
        return ("Nothing is known of the rows yet.",)
    lines: list[str] = []
    for source in ledger["sources"]:
        parts = [
            f"{count(source[key])} {word}"
            for key, word in (
                ("header", "header"),
                ("blank", "blank"),
                ("continuation", "inside quoted fields"),
                ("rejected", "rejected"),
                ("read", "read as rows"),
            )
            if source[key]
        ]
        lines.append(f"{safe(source['name'])}: {some(source['lines'], 'line')} = {' + '.join(parts)}.")
        if source["rejected_cells"]:
            lines.append(
                f"{some(source['rejected_cells'], 'cell')} did not fit the kind of the column and became missing."
            )
    for step in ledger["steps"]:
        title = OPS[step["op"]].title if step["op"] in OPS else safe(step["op"])
        did = [f"left out {some(step['removed'], 'row')}"] if step["removed"] else []
        did += [f"changed {some(step['changed'], 'cell')}"] if step["changed"] else []
        lines.append(f"Step {step['n']}, {title}: {' and '.join(did) or 'changed nothing'}.")
    lines.append(
        f"{some(ledger['read'], 'row')} read − {count(ledger['removed'])} left out = {count(ledger['kept'])} kept."
    )
    lines.append(ledger_line(ledger) + ".")
    lines.append("Every line is accounted for." if ledger["sums"] else "The account does not sum: please report this.")
    return tuple(lines)


def ledger_line(ledger: Mapping[str, Any]) -> str:
    """The account's last line: "342 = 239 train + 34 val. + 69 test"."""
    parts = (("train", "train"), ("validation", "val."), ("test", "test"))
    return f"{count(ledger['kept'])} = " + " + ".join(f"{count(ledger[key])} {word}" for key, word in parts)

"""Keys that clean: each fills a form for a step, which counts before it is applied; and what columns are for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from epochal.core.byhand import without_rows
from epochal.core.steps import OPS, Step
from epochal.show import counted
from epochal.tui.screens.data_moves import Action
from epochal.tui.screens.data_steps import StepForm, StepMenu
from epochal.workbench.views.data import Query, step_title
from epochal.workbench.views.forms import (
    field_text,
    keep_all_but,
    list_text,
    sql_name,
    suggested,
)


if TYPE_CHECKING:
    from epochal.tui.screens.data import DataScreen


def open_form(
    screen: DataScreen, op: str, texts: Mapping[str, str] | None = None, *, focus: str = "", value: str | None = None
) -> None:
    """Fill in a step for the column under the cursor; what is typed in `texts` already stands there."""
    columns = [screen.column.name] if screen.column is not None else []
    filled = {**suggested(op, columns, value), **(texts or {})}

    def done(step: Step | None) -> None:
        if step is not None and screen.data.recipe.put_step(step):
            screen.data.say(
                f"step {len(screen.data.recipe.steps)} added: {step_title(op, step.params)}; U takes it back"
            )

    screen.app.push_screen(StepForm(screen.data, op, filled, focus=focus), done)


def edit_step(screen: DataScreen, at: int) -> None:
    """Change a step of the recipe in its place."""
    step = screen.data.recipe.steps[at]
    texts = {p.name: field_text(p, step.params.get(p.name, p.default)) for p in OPS[step.op].params}

    def done(changed: Step | None) -> None:
        if changed is not None:
            screen.data.recipe.put_step(changed, at, step)

    form = StepForm(screen.data, step.op, texts, at=at, enabled=step.enabled)
    screen.app.push_screen(form, done)


def _menu(screen: DataScreen) -> None:
    column = f"for {screen.column.title}" if screen.column is not None else ""

    def chosen(op: str | None) -> None:
        if op is not None:
            opener = _OPENERS.get(op, _form(op))
            opener(screen)

    screen.app.push_screen(StepMenu("Clean", column), chosen)


def _form(op: str, **texts: str) -> Action:
    return lambda screen: open_form(screen, op, texts)


def _fill(screen: DataScreen) -> None:
    """Propose what stands for a missing value: the median of numbers, else the most frequent value."""
    column = screen.column
    profile = screen.data.profile(column.name) if column is not None else None
    value = ""
    if profile is not None and profile.kind == "number" and profile.median is not None:
        value = f"{profile.median:.10g}"
    elif profile is not None and profile.top:
        value = profile.top[0][0]
    open_form(screen, "fill", {"value": value}, focus="value")


def _mark(screen: DataScreen) -> None:
    screen.with_cell(lambda value: open_form(screen, "mark_missing", value=value, focus="values"))


def _edit(screen: DataScreen) -> None:
    def opened(value: str | None) -> None:
        if value is None:
            _fill(screen)
            return
        open_form(screen, "map_values", {"mapping": _pairs([value])}, focus="mapping")

    screen.with_cell(opened)


def _pairs(values: Sequence[str]) -> str:
    """Each value as its own new one: what is not typed over stays, and nothing becomes missing unasked."""
    return list_text(f"{v} → {v}" for v in values)


def change_values(screen: DataScreen, values: Sequence[str | None]) -> None:
    """Change these values wherever they stand in the column."""
    texts = [v for v in values if v is not None]
    if texts:
        open_form(screen, "map_values", {"mapping": _pairs(texts)}, focus="mapping")
    else:
        _fill(screen)


def drop_values(screen: DataScreen, values: Sequence[str | None]) -> None:
    """Leave out the rows with these values in the column under the cursor."""
    if screen.column is not None:
        open_form(screen, "filter", {"where": keep_all_but(screen.column.name, values)})


def _extract(screen: DataScreen) -> None:
    if screen.column is not None:
        name = screen.column.name
        texts = {"column": f"{name}_part", "as": f"regexp_extract({sql_name(name)}, '([0-9]+)', 1)"}
        open_form(screen, "compute", texts, focus="as")


def _drop_row(screen: DataScreen) -> None:
    key = screen.grid.pages.key(screen.grid.cursor_row)
    if key is not None:
        _drop(screen, [key])


def _drop(screen: DataScreen, keys: Sequence[str]) -> None:
    named = screen.session.project.columns.key
    column = next((c for c in screen.data.view.columns if c.name == named), None) if screen.data.view else None
    fraction = column is not None and column.type in {"DOUBLE", "FLOAT"}
    where = without_rows(keys, column.name if column is not None else "", fraction=fraction)
    open_form(screen, "filter", {"where": where})


def _drop_selected(screen: DataScreen) -> None:
    screen.data.rows.keys_of_selected(lambda keys: _drop(screen, keys))


def _role(role: str) -> Action:
    def set_role(screen: DataScreen) -> None:
        if screen.column is not None and screen.data.recipe.set_role(screen.column.name, role):
            now = {c.name: c.role for c in screen.grid.columns}.get(screen.column.name, "")
            words = {
                "target": "is what is predicted",
                "ignored": "is kept but not learnt from",
            }
            screen.data.say(f"{screen.column.title} {words.get(now, 'is an input again')}; U takes it back")

    return set_role


def _key(screen: DataScreen) -> None:
    """Take the column for the key, if every row has its own value there."""
    column = screen.column
    if column is None or column.role == "key":
        _role("key")(screen)
        return

    def told(why: str) -> None:
        if why:
            screen.data.say(why)
        elif screen.data.recipe.set_role(column.name, "key"):
            screen.data.say(f"{column.title} identifies rows; U takes it back")

    screen.data.identifies(column.name, told)


# ── columns on the screen ──


def _hide(screen: DataScreen) -> None:
    column = screen.column
    if column is not None and len(screen.grid.columns) > 1:
        screen.data.hidden |= {column.name}
        screen.draw_columns()
        screen.data.say(f"{column.title} is not shown; gv shows all again")
    elif column is not None:
        screen.data.say(f"{column.title} is the only column left to show")


def _unhide(screen: DataScreen) -> None:
    count, screen.data.hidden = len(screen.data.hidden), frozenset()
    screen.draw_columns()
    screen.data.say(f"{counted(count, 'hidden column')} shown again" if count else "no column is hidden")


def _width(screen: DataScreen) -> None:
    column = screen.column
    if column is None:
        return
    if column.name in screen.data.widths:
        del screen.data.widths[column.name]
    else:
        wide = max(20, screen.grid.size.width - 12)
        info = next((c for c in screen.data.view.columns if c.name == column.name), None) if screen.data.view else None
        wanted = max(column.width + 1, info.width if info else 0, len(column.title) + 2)
        screen.data.widths[column.name] = min(wide, wanted if wanted > column.width + 1 else column.width * 2)
    screen.draw_columns()


_OPENERS: Mapping[str, Action] = {"fill": _fill, "mark_missing": _mark, "map_values": _edit}

CLEANING: Mapping[str, Action] = {
    "clean": _menu,
    "kind-text": _form("set_kind", kind="text"),
    "kind-number": _form("set_kind", kind="number"),
    "kind-category": _form("set_kind", kind="category"),
    "parse-number": _form("parse_number"),
    "parse-date": _form("parse_date"),
    "rename": _form("rename"),
    "fill": _fill,
    "edit": _edit,
    "compute": _form("compute"),
    "replace": _form("replace"),
    "extract": _extract,
    "split": _form("split_column"),
    "drop": _drop_row,
    "drop-selected": _drop_selected,
    "duplicates": _form("drop_duplicates"),
    "target": _role("target"),
    "key": _key,
    "ignore": _role("ignored"),
    "hide": _hide,
    "unhide": _unhide,
    "width": _width,
    **{
        f"step-{name}": _OPENERS.get(name, _form(name)) for name, op in OPS.items() if not op.key and name != "set_kind"
    },
}
"""What each command of the registry does, by its name after `data.`."""


# ── the side panel's lists ──


def recipe_key(screen: DataScreen, at: int, pressed: str) -> bool:
    """Keys of the recipe list. False for a key that means nothing there."""
    recipe = screen.data.recipe
    keys: dict[str, Callable[[], object]] = {
        "Enter": lambda: edit_step(screen, at),
        "e": lambda: edit_step(screen, at),
        "d": lambda: _delete(screen, at),
        "x": lambda: recipe.toggle_step(at),
        "Space": lambda: recipe.toggle_step(at),
        "J": lambda: _move_step(screen, at, 1),
        "K": lambda: _move_step(screen, at, -1),
        "v": lambda: screen.data.look(Query(steps=at + 1, title=f"as they were after step {at + 1}")),
    }
    if pressed not in keys:
        return False
    keys[pressed]()
    return True


def _delete(screen: DataScreen, at: int) -> None:
    if screen.data.recipe.delete_step(at):
        screen.data.say(f"step {at + 1} is out; U brings it back")


def _move_step(screen: DataScreen, at: int, by: int) -> None:
    if screen.data.recipe.move_step(at, by):
        screen.point(at + by)
    else:
        screen.data.say(f"this is the {'last' if by > 0 else 'first'} step already")

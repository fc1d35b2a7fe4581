"""Cleaning steps by name, and the form in which one is filled in, counted, and only then applied."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.events import Key, Resize
from textual.message import Message
from textual.reactive import reactive
from textual.suggester import Suggester
from textual.timer import Timer
from textual.widget import Widget
from textual.widgets import Input, Static
from textual.widgets.input import Selection

from epochal.core.errors import EpochalError, SettingsError
from epochal.core.steps import OPS, Op, Param, Step
from epochal.data.protocol import Counted
from epochal.show import cell_width, counted, fit, safe
from epochal.tui.glyphs import glyphs
from epochal.tui.screens.overlay import Keys, Overlay
from epochal.tui.text import Part, content, stacked
from epochal.workbench.data_session import DataSession
from epochal.workbench.views.data import step_title
from epochal.workbench.views.forms import changing, known_columns, step_from_fields


_ORDER = (
    "mark_missing", "fill", "drop_missing", "drop_duplicates", "filter", "clip",
    "trim", "collapse_spaces", "lower", "upper", "replace", "map_values",
    "set_kind", "parse_number", "parse_date", "rename", "compute", "split_column", "select", "drop_columns",
)  # fmt: skip
_GROUPS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Missing values and rows", _ORDER[:6]),
    ("Text", _ORDER[6:12]),
    ("Kinds and columns", _ORDER[12:]),
)

PREVIEW_SECONDS = 0.25
"""How long a form rests after a key before it counts."""


LOW = 30
"""Lines of a screen below which blank lines are spared."""


class StepMenu(Overlay[str]):
    """Every cleaning step with its letter."""

    DEFAULT_CSS = """
    StepMenu > #box { width: 96; }
    StepMenu #steps { height: auto; }
    """
    KEYS: ClassVar[Keys] = (
        ("a letter", "chooses"),
        ("a key at the right", "is for the rows"),
        ("Esc", "back"),
    )

    def compose_inside(self) -> ComposeResult:
        """All steps."""
        yield Static(id="steps")

    def on_mount(self) -> None:
        """Draw them."""
        self.call_after_refresh(self._draw)

    def on_resize(self, _event: Resize) -> None:
        """One or two columns."""
        self.call_after_refresh(self._draw)

    def _draw(self) -> None:
        width = self.query_one("#steps", Static).content_size.width
        half = width // 2
        left = [*self._group(*_GROUPS[0], half - 2), Content(""), *self._group(*_GROUPS[1], half - 2)]
        right = self._group(*_GROUPS[2], width - half)
        right += [Content("")] * (len(left) - len(right))
        lines = [content(a, " " * (half - a.cell_length), b) for a, b in zip(left, right, strict=True)]
        self.query_one("#steps", Static).update(stacked(lines))

    @staticmethod
    def _group(title: str, names: Sequence[str], width: int) -> list[Content]:
        lines = [content((title, "$ep-quiet"))]
        for name in names:
            op = OPS[name]
            whole = cell_width(op.title) + cell_width(op.key) + 2 <= width - 5
            key: Part = (f"  {op.key}", "$ep-quiet") if op.key and whole else ""  # the letter does as well
            text = fit(op.title, width - 5)
            lines.append(content((f" {op.letter}  ", "bold $ep-accent"), (text, "$ep-text"), key))
        return lines

    def key_pressed(self, pressed: str) -> bool:
        """A letter chooses."""
        op = next((op for op in OPS.values() if op.letter == pressed), None)
        if op is not None:
            self.dismiss(op.name)
        return op is not None


class Completion(Suggester):
    """Completes the last word with a column's name."""

    def __init__(self, columns: Sequence[str], *, listed: bool) -> None:
        super().__init__(use_cache=False, case_sensitive=True)
        self._columns, self._listed = columns, listed

    async def get_suggestion(self, value: str) -> str | None:
        """The line with its last word completed."""
        start = value.rfind(",") + 1 if self._listed else max(value.rfind(c) for c in ' (+-*/=<>,"') + 1
        word = value[start:].lstrip()
        if not word:
            return None
        found = next((c for c in self._columns if c.casefold().startswith(word.casefold()) and c != word), None)
        return value[: len(value) - len(word)] + word + found[len(word) :] if found else None


class ChoiceField(Widget, can_focus=True):
    """One of a few values; ← → or Space change it."""

    DEFAULT_CSS = """
    ChoiceField { height: 1; padding: 0 1; background: $ep-raised; }
    ChoiceField:focus { background: $ep-line; }
    """

    chosen: reactive[int] = reactive(0)

    class Changed(Message):
        """Another value."""

    def __init__(self, choices: Sequence[str], value: str, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.choices = tuple(choices)
        self.set_reactive(ChoiceField.chosen, self.choices.index(value) if value in self.choices else 0)

    @property
    def value(self) -> str:
        """The chosen value."""
        return self.choices[self.chosen]

    def render(self) -> Content:
        """All choices, the chosen one bright."""
        parts: list[Part] = []
        for n, choice in enumerate(self.choices):
            parts.append((f" {choice} ", "bold $ep-background on $ep-accent" if n == self.chosen else "$ep-quiet"))
        return content(*parts)

    def on_key(self, event: Key) -> None:
        """Change the value."""
        by = {"left": -1, "right": 1, "space": 1, "h": -1, "l": 1}.get(event.key)
        if by is not None:
            event.stop()
            event.prevent_default()
            self.chosen = (self.chosen + by) % len(self.choices)
            self.post_message(self.Changed())


class StepInput(Input):
    """A field whose first typed key replaces what was filled in; arrows and Backspace edit it.

    Of pairs ("MALE → MALE") only the last one's second half is replaced.
    """

    def __init__(self, text: str, *, pairs: bool, suggester: Suggester | None, id: str) -> None:  # noqa: A002 - Textual's word
        pairs = pairs and "→ " in text
        super().__init__(text, suggester=suggester, select_on_focus=not pairs, id=id)
        start = text.rindex("→ ") + 2 if pairs else 0
        self._filled = Selection(start, len(text) - (pairs and text.endswith('"')))
        if pairs:
            self.selection = self._filled

    def action_delete_left(self) -> None:
        """One character less, also of what is selected as a whole or as it was filled in."""
        if self.selection in {self._filled, Selection(0, len(self.value))} and not self.selection.is_empty:
            self.cursor_position = self.selection.end
        super().action_delete_left()


class StepForm(Overlay[Step]):
    """One step: its parameters, and what it would do to the rows, before it is applied."""

    DEFAULT_CSS = """
    StepForm > #box { width: 84; }
    StepForm .field { height: auto; margin: 0; }
    StepForm .label { width: 12; height: 1; color: $ep-text; }
    StepForm .field Input { width: 1fr; }
    StepForm .field ChoiceField { width: 1fr; }
    StepForm .meaning { height: auto; margin: 0 0 1 12; color: $ep-quiet; padding: 0 1; }
    StepForm #preview { height: auto; min-height: 4; max-height: 9; margin-top: 0; }
    StepForm.-short > #box { padding: 0 2; }
    StepForm.-short #title { margin: 0; }
    StepForm.-short .meaning { margin: 0 0 0 12; }
    StepForm.-short #preview { margin: 1 0 0 0; }
    """
    KEYS: ClassVar[Keys] = (("Enter", "apply"), ("Tab", "next field"), ("→", "complete"), ("Esc", "leave as it is"))

    def __init__(
        self,
        data: DataSession,
        op: str,
        texts: Mapping[str, str],
        *,
        at: int | None = None,
        focus: str = "",
        enabled: bool = True,
    ) -> None:
        super().__init__(step_title(op, texts), f"step {len(data.recipe.steps) + 1 if at is None else at + 1}  ·  {op}")
        self._data, self._op, self._texts, self._at = data, OPS[op], dict(texts), at
        self._focus, self._enabled = focus, enabled
        self._timer: Timer | None = None
        self._looked_at: Mapping[str, str] | None = None
        """The texts that were counted, or are being counted."""
        self._counted: Step | None = None
        """The step whose effect is shown."""
        self._wanted = False
        """Whether Enter was pressed before the effect was known."""
        self._doubt = ""
        """What speaks against what was counted."""
        self._warned = False
        """Whether Enter was pressed, and answered by saying what speaks against it."""

    def compose_inside(self) -> ComposeResult:
        """A line for each parameter, the effect below."""
        with VerticalScroll(can_focus=False):
            for param in self._op.params:
                with Horizontal(classes="field"):
                    yield Static(param.name, classes="label", markup=False)
                    yield self._field(param)
                yield Static(param.meaning, classes="meaning", markup=False)
        yield Static(id="preview")

    def _field(self, param: Param) -> Widget:
        text = self._texts.get(param.name, "")
        if param.choices or param.type == "boolean":
            return ChoiceField(param.choices or ("no", "yes"), text, id=f"field-{param.name}")
        columns = self._data.column_names
        listed = param.type in {"columns", "column"}
        suggester = Completion(columns, listed=listed) if listed or param.type == "expression" else None
        return StepInput(text, pairs=param.type == "mapping", suggester=suggester, id=f"field-{param.name}")

    def on_mount(self) -> None:
        """Type at once, in the field that most likely wants it."""
        names = [p.name for p in self._op.params]
        blank = [p.name for p in self._op.params if p.required and not self._texts.get(p.name)]
        first = self._focus or (blank[0] if blank else names[-1])
        self.query_one(f"#field-{first}").focus()
        self._count()

    def on_resize(self, event: Resize) -> None:
        """On a low screen the lines stand closer."""
        self.set_class(event.size.height < LOW, "-short")

    def on_unmount(self) -> None:
        """Nobody waits for a count any more."""
        self._data.drop("count")

    def on_input_changed(self, _event: Input.Changed) -> None:
        """Count again, once the fingers rest. A field also tells of what it was filled with, which is counted already."""
        if self._typed() != self._looked_at:
            self._later()

    def on_choice_field_changed(self, _event: ChoiceField.Changed) -> None:
        """Count again."""
        self._later()

    def _later(self) -> None:
        self._counted, self._warned = None, False
        if self._timer is not None:
            self._timer.stop()
        self._timer = self.set_timer(PREVIEW_SECONDS, self._count)

    def _typed(self) -> dict[str, str]:
        texts = {}
        for param in self._op.params:
            field = self.query_one(f"#field-{param.name}")
            texts[param.name] = field.value if isinstance(field, (Input, ChoiceField)) else ""
        return texts

    def _read(self, op: Op, texts: Mapping[str, str]) -> Step:
        step = changing(step_from_fields(op, texts, enabled=self._enabled))
        if self._at is None:
            known_columns(step, self._data.column_names)
        return step

    def _count(self) -> None:
        if self._timer is not None:
            self._timer.stop()
        self._looked_at = self._typed()
        try:
            step = self._read(self._op, self._looked_at)
        except SettingsError as error:
            self._show_error(error)
            return
        self._say(content(("counting …", "$ep-quiet")))
        self._data.count(step, self._at, lambda counted: self._show(step, counted), self._show_error)

    def _show(self, step: Step, counted: Counted) -> None:
        if not self.is_attached:
            return
        self._counted = step
        nothing = not (
            counted.removed or counted.changed or counted.rejected_cells or counted.kinds or self._op.changes_columns
        )
        self._doubt = counted.warning or ("nothing would change" if nothing else "")
        if self._wanted:
            self._wanted = False
            self._apply()
            return
        mark = (glyphs().waiting, "$ep-quiet") if nothing else (glyphs().here, "bold $ep-accent")
        if counted.rejected_cells or counted.warning:
            mark = (glyphs().problem, "bold $ep-warning")
        lines = [content(mark, " ", (safe(counted.sentence or sentence(counted), 300), "bold $ep-text"))]
        if counted.warning:
            lines.append(content("  ", (safe(counted.warning, 300), "$ep-text")))
        lines += [
            content(
                "  ", (fit(shown(before), 30), "$ep-quiet"), ("  →  ", "$ep-line"), (fit(shown(after), 30), "$ep-text")
            )
            for before, after in counted.sample[:4]
        ]
        self._say(stacked(lines))

    def _show_error(self, error: EpochalError) -> None:
        if not self.is_attached:
            return
        self._wanted = False
        lines = [content((f"{glyphs().problem} ", "bold $ep-warning"), (safe(error.what, 300), "$ep-text"))]
        if error.fix:
            lines.append(content("  ", (safe(error.fix, 300), "$ep-quiet")))
        self._say(stacked(lines))

    def _say(self, text: Content) -> None:
        self.query_one("#preview", Static).update(text)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Enter in a field."""
        event.stop()
        self._apply()

    def key_pressed(self, pressed: str) -> bool:
        """Enter applies, also where no text is typed."""
        if pressed == "Enter":
            self._apply()
        elif pressed in {"up", "down"}:
            (self.focus_next if pressed == "down" else self.focus_previous)()
        else:
            return False
        return True

    def _apply(self) -> None:
        """Apply what was counted; what was not is counted first, what something speaks against is asked for once more."""
        if self._counted is not None:
            if self._doubt and not self._warned:
                self._warned = True
                said = f"{self._doubt}: Enter once more keeps the step all the same, Esc leaves it"
                self._say(content((f"{glyphs().problem} ", "bold $ep-warning"), (safe(said, 300), "bold $ep-text")))
            else:
                self.dismiss(self._counted)
            return
        self._wanted = True
        self._count()


def shown(value: str | None) -> str:
    """A cell of a preview: missing is the same quiet sign as in the grid."""
    return "·" if value is None else value or '""'


def sentence(found: Counted) -> str:
    """What a step would do, in words, where the host said none."""
    if found.removed:
        return f"{counted(found.removed, 'row')} of {counted(found.rows_before, 'row')} would be left out"
    text = f"{counted(found.changed, 'cell')} would change" if found.changed else "nothing would change"
    rejected = f"; {counted(found.rejected_cells, 'cell')} cannot be read so and would become rejects"
    return text + (rejected if found.rejected_cells else "")

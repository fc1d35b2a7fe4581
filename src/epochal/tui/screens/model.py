"""The model stage: which families fit, and their settings."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.content import Content

from epochal.core.errors import EpochalError
from epochal.core.fields import duration_seconds
from epochal.core.settings import Project, parse_project, to_document, with_setting
from epochal.core.tasks import MODULE, OWN
from epochal.show import cell_width
from epochal.tui.glyphs import glyphs
from epochal.tui.paint import blank, cell, flowed, heading, toned, wrapped
from epochal.tui.screens.base import StageScreen
from epochal.tui.screens.overlays import Agree, Ask, Item, Pick, TextOverlay
from epochal.tui.text import Part, content
from epochal.tui.widgets.lines import Lines
from epochal.workbench import flow, own
from epochal.workbench.verifying import rows_of, said_of, verify_here
from epochal.workbench.views.forms import ungrouped
from epochal.workbench.views.model import FamilyRow, ModelView, SettingRow, model_view, suggested_values, trust_lines


if TYPE_CHECKING:
    from epochal.runs.equality import Verification
    from epochal.workbench.keys import Command


def typed_value(text: str) -> object:
    """What a person typed, as a TOML value; a bare word is a text. A number may have its thousands apart."""
    try:
        value: object = tomllib.loads(f"value = {ungrouped(text)}")["value"]
    except tomllib.TOMLDecodeError:
        return text
    return value


class ModelScreen(StageScreen):
    """Families, ranked on evidence, and settings with their meaning."""

    STAGE = "model"
    TEACHES = (
        "A family is a kind of model. Each that fits your task is tried for a short, equal time on the training rows "
        "and judged on validation rows, never on the test set; the table shows what came out. Take the first unless "
        "you know better: Enter trains it. Settings that say auto are fitted to your budget when the run starts; "
        "the value it took the last time stands in brackets."
    )

    def __init__(self) -> None:
        super().__init__()
        self._view: ModelView | None = None
        self._in_settings = False
        self._family = 0
        self._setting = 0

    def compose_body(self) -> ComposeResult:
        """One list of lines."""
        yield Lines(id="model-lines")

    def refresh_view(self, topic: str) -> None:
        """Draw families and settings."""
        session = self.session
        if session.file is None:
            return
        if topic in {"all", "project"}:
            flow.recall_choice(session)
            flow.settle(session)
        if topic in {"all", "project"} or (topic == "error" and own.is_about_code(session.error)):
            own.look(session)
        busy = session.job.text if session.job is not None else ""
        self._view = model_view(
            session.project,
            built=session.built_here,
            choice=session.choice_here,
            runs=session.seen.runs,
            info=session.info,
            baselines=session.seen.state.baselines if session.seen.state else {},
            busy=busy,
            code=session.code,
        )
        if topic in {"all", "choice"}:
            taken = next((n for n, f in enumerate(self._view.families) if f.taken), 0)
            self._family = taken
        self._draw()

    def _draw(self) -> None:
        view = self._view
        if view is None:
            return
        body = self.query_one(Lines)
        width = body.size.width
        lines: list[Content] = [blank(), content(toned("Which model?", "bold"))]
        lines += flowed(view.sentence, width, 2)
        lines += [blank(), *self._families(view, width)]
        if not self._in_settings and self._family < len(view.families):
            air = [] if self.has_class("-short") else [blank()]
            lines += [*air, *wrapped(view.families[self._family].words, width, "text", 2)]
        if view.reason:
            lines += wrapped(view.reason, width, "quiet", 2)
        first = len(lines) + 2
        note = f"* {view.changed} changed from suggested" if view.changed else "as suggested"
        lines += [blank(), heading(f"Settings of {view.family}" if view.family else "Settings", width, note)]
        lines += self._settings(view, width)
        cursor = first + self._setting if self._in_settings else self._first_family + self._family
        body.show(lines, cursor)
        self.set_next(view.next if not self._in_settings else self._meaning(view))
        self.refresh_footer()

    def _meaning(self, view: ModelView) -> str:
        setting = view.settings[self._setting]
        back = ", d puts it back as suggested" if setting.changed else ""
        return f"Enter changes it{back}. {_told(setting)}"

    def holds(self, when: str) -> bool:
        """Whether a command's condition holds: families and settings take other keys."""
        known = {
            "families": not self._in_settings,
            "settings": self._in_settings,
            "untrusted": self._view is not None and self._view.untrusted,
        }
        return known.get(when, True)

    def as_here(self, command: Command) -> Command:
        """Enter changes a setting and trains a family; Tab leads to the other list."""
        titles = {"model.take": "change", "model.other": "families"} if self._in_settings else {}
        return replace(command, title=titles.get(command.id, command.title))

    @property
    def _first_family(self) -> int:
        width = self.query_one(Lines).size.width
        return 4 + (len(flowed(self._view.sentence, width, 2)) if self._view else 1)

    def _families(self, view: ModelView, width: int) -> list[Content]:
        wide = width >= 96
        why = max(16, width - (69 if wide else 43))
        head: list[Part] = ["  ", cell("family", 9, "head"), cell("why", why, "head")]
        if wide:
            head += [cell("parameters", 11, "head", right=True), cell("memory", 9, "head", right=True)]
        head += [
            cell("about", 8, "head", right=True),
            cell("trial", 15, "head", right=True),
            "  ",
            cell("last result" if wide else "last", 13 if wide else 7, "head"),
        ]
        lines = [content(*head)]
        for n, family in enumerate((*view.families, *view.baselines)):
            lines.append(
                self._family_line(
                    family,
                    why,
                    wide=wide,
                    here=n == self._family and not self._in_settings,
                    baseline=n >= len(view.families),
                )
            )
        return lines

    def _family_line(self, family: FamilyRow, why: int, *, wide: bool, here: bool, baseline: bool) -> Content:
        signs = glyphs()
        tone = "quiet" if baseline else "text"
        mark = signs.here if here else signs.done if family.taken else " "
        parts: list[Part] = [
            (f"{mark} ", "$ep-accent" if here else "$ep-good"),
            cell(family.name, 9, "bold" if family.taken else tone),
            cell(family.why, why - 1, "quiet"),
            " ",
        ]
        if wide:
            parts += [cell(family.parameters, 11, tone, right=True), cell(family.memory, 9, tone, right=True)]
        parts += [
            cell(family.about, 8, tone, right=True),
            cell(family.trial, 15, tone, right=True),
            "  ",
            cell(
                family.last if wide else family.last.split(" ")[0],
                13 if wide else 7,
                "second" if family.last and not baseline else "quiet",
            ),
        ]
        return content(*parts)

    def _settings(self, view: ModelView, width: int) -> list[Content]:
        lines = []
        for n, setting in enumerate(view.settings):
            here = self._in_settings and n == self._setting
            value = f"{setting.value} ({setting.resolved})" if setting.resolved else setting.value
            lines.append(
                content(
                    (f"{glyphs().here} " if here else "  ", "$ep-accent"),
                    cell(setting.title, 18, "bold" if here else "text"),
                    ("* " if setting.changed else "  ", "$ep-accent"),
                    cell(value, 18, "accent" if setting.changed else "text"),
                    cell(setting.meaning, max(0, width - 40), "quiet"),
                )
            )
            if here and cell_width(setting.meaning) > width - 40:
                lines += wrapped(_told(setting), width, "text", 4)
        return lines

    # ── commands ──

    def do_model_down(self) -> None:
        """The next line."""
        self._move(1)

    def do_model_up(self) -> None:
        """The line before."""
        self._move(-1)

    def _move(self, by: int) -> None:
        view = self._view
        if view is None:
            return
        if self._in_settings:
            if self._setting + by < 0:
                self._in_settings, self._family = False, len(view.families) - 1
            else:
                self._setting = min(len(view.settings) - 1, self._setting + by)
        elif self._family + by >= len(view.families):
            self._in_settings, self._setting = True, 0
        else:
            self._family = max(0, self._family + by)
        self._draw()

    def do_model_other(self) -> None:
        """Between families and settings."""
        self._in_settings = not self._in_settings
        self._draw()

    def do_model_take(self) -> None:
        """Train the family under the cursor, or change the setting under it."""
        view = self._view
        if view is None:
            return
        if self._in_settings:
            self._change(view.settings[self._setting])
        elif self._takes(view) and not self._held_up(view):
            flow.train(self.session)
            self.workbench.go("train")

    def do_model_use(self) -> None:
        """Take the family without training."""
        if self._view is not None and not self._in_settings:
            self._takes(self._view)

    def _takes(self, view: ModelView) -> bool:
        """Take the family under the cursor; False when it is not taken yet, as its class must be named first."""
        name = view.families[self._family].name
        if name != OWN or view.family == OWN:
            return flow.take_family(self.session, name)
        self._ask(
            f"model.{MODULE}",
            "Your own model",
            "model.py:Net",
            "The file in the project's folder, and the class in it.",
        )
        return False

    def _held_up(self, view: ModelView) -> bool:
        """Whether code must be trusted first; then it is shown."""
        held = view.families[self._family].name == OWN and view.untrusted
        if held:
            self.do_model_trust()
        return held

    def do_model_trust(self) -> None:
        """Show the code that would run; Enter lets it."""
        session, shown = self.session, self.session.code
        if shown is None or shown.trusted:
            self.refuse("no code of the project waits to be trusted", "family own is made of the project's code")
            return

        def took(agreed: bool | None) -> None:
            if agreed:
                own.let_run(session, shown)

        self.workbench.push_screen(Agree("Let these files run?", trust_lines(shown)), took)

    def do_model_measure(self) -> None:
        """Try every family."""
        flow.measure(self.session)

    def do_model_check(self) -> None:
        """Check the settings before a run."""
        from epochal.tui.screens.check import CheckSheet

        self.workbench.push_screen(CheckSheet())

    def do_model_budget(self) -> None:
        """Change the budget."""
        self._ask(
            "train.budget",
            "Budget",
            self.session.project.train.budget,
            "What families and sizes are fitted to, such as 30 s or 5 min.",
            budget=True,
        )

    def do_model_verify(self) -> None:
        """Verify that a run resumes to the bit, and show what was compared."""
        verify_here(self.session, self._verified)

    def _verified(self, result: Verification) -> None:
        verdict = f"verdict: {result.verdict}"
        if not self.shown:
            self.session.tell(f"verify resume: {verdict}")
            return
        lines: list[str | Content] = [*said_of(result), ""]
        lines += [
            content(cell(what, 22), cell(number, 14, "quiet"), cell(same, 8, "good" if same == "equal" else "bad"))
            for what, number, same in rows_of(result)
        ]
        lines += ["", content(toned(verdict, "good" if result.exact else "bad"))]
        self.workbench.push_screen(TextOverlay("Verify resume", lambda: lines, live=False))

    def do_model_suggested(self) -> None:
        """The setting under the cursor as suggested."""
        if self._view is None or not self._in_settings:
            return
        setting = self._view.settings[self._setting]
        if not setting.changed:
            return
        table, _, name = setting.path.partition(".")
        project = without(self.session.project, table, name)
        suggested = suggested_values(project, self.session.choice_here)
        if setting.path in suggested:
            project = with_setting(project, setting.path, suggested[setting.path])
        self.session.change(project, f"{setting.title} as suggested")

    def _change(self, setting: SettingRow) -> None:
        if setting.choices:
            items = [Item(value=c, title=c) for c in setting.choices]

            def took(value: str | None) -> None:
                if value is not None:
                    self.session.set(setting.path, value)

            self.workbench.push_screen(Pick(setting.title, items, current=setting.value, hint=""), took)
            return
        self._ask(setting.path, setting.title, setting.value, _told(setting))

    def _ask(self, path: str, title: str, value: str, meaning: str, *, budget: bool = False) -> None:
        def check(text: str) -> str:
            try:
                if budget:
                    duration_seconds(text)
                with_setting(self.session.project, path, text if budget else typed_value(text))
            except EpochalError as error:
                return f"{error.what}: {error.fix}"
            return ""

        def took(text: str | None) -> None:
            if text is not None:
                self.session.set(path, text if budget else typed_value(text))

        self.workbench.push_screen(Ask(title, "" if value == "–" else value, meaning=meaning, check=check), took)


def _told(setting: SettingRow) -> str:
    """What a setting means and what it takes."""
    return f"{setting.meaning} Expected: {setting.expected}." if setting.expected else setting.meaning


def without(project: Project, table: str, name: str) -> Project:
    """The project with one setting left out, so that the suggestion holds again."""
    document = to_document(project)
    inner = dict(document.get(table, {}))
    inner.pop(name, None)
    document[table] = inner
    return parse_project(document)

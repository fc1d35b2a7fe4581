"""The frame around every pane: top bar, rail of stages, next line, footer."""

from __future__ import annotations

from collections.abc import Sequence

from textual.content import Content
from textual.events import Click
from textual.message import Message
from textual.reactive import var
from textual.strip import Strip

from epochal.tui.glyphs import Glyphs, bar, glyphs
from epochal.tui.text import Part, content, cut, spread
from epochal.tui.widgets.painted import Painted
from epochal.workbench.keys import Command, shown_key
from epochal.workbench.views.rail import ShellView, Stage


NARROW = 100
"""Below this many columns the rail is glyphs only."""

_FEWEST_CELLS = 12
"""Of what is under way, however little room there is."""
_STATE_STYLE = {
    "done": "$ep-good",
    "busy": "$ep-accent",
    "problem": "$ep-warning",
    "sealed": "$ep-quiet",
    "waiting": "$ep-quiet",
    "none": "$ep-quiet",
}


def state_sign(state: str, signs: Glyphs) -> str:
    """The sign of a stage's state."""
    return {
        "done": signs.done,
        "busy": signs.busy,
        "problem": signs.problem,
        "sealed": signs.sealed,
        "waiting": signs.waiting,
    }.get(state, " ")


class _Framing(Painted):
    """A part of the frame: lines made from what it was given last."""

    def lines(self) -> list[Content]:
        """The lines as they are now; none, unless a part says more."""
        return []

    def paint(self) -> list[Strip]:
        """The lines, and room below."""
        shown = [self.line(content) for content in self.lines()[: self.size.height]]
        return [*shown, *[self.blank_line()] * (self.size.height - len(shown))]


class TopBar(_Framing):
    """Project at the left; saved, run and machine at the right."""

    view: var[ShellView] = var(ShellView())

    def watch_view(self) -> None:
        """Show it."""
        self.repaint()

    def lines(self) -> list[Content]:
        """One line."""
        signs = glyphs()
        left: list[Part] = [(" epochal", "bold $ep-accent")]
        if self.view.project:
            left += [(f" {signs.crumb} ", "$ep-quiet"), (self.view.project, "bold $ep-text")]
        right: list[Part] = []
        if self.view.busy:
            right += [*self._bar(self.view.busy_fraction, signs), "   "]
        elif self.view.saved:
            right += [(f"saved {self.view.saved}", "$ep-quiet"), "   "]
        if self.view.run:
            right += [(f"{self.view.run} ", "$ep-text")]
            if self.view.run_fraction is not None:
                right += [*self._bar(self.view.run_fraction, signs)]
            else:
                right += [(self.view.run_state, "$ep-quiet")]
            right += ["   "]
        if self.view.machine and self.size.width >= NARROW:
            right += [(self.view.machine, "$ep-quiet"), " "]
        end = content(*right)
        if self.view.busy:
            # Its words give way to what else is told, not that to them.
            room = max(_FEWEST_CELLS, self.size.width - content(*left).cell_length - end.cell_length - 2)
            end = Content.assemble(cut(content((self.view.busy, "$ep-accent")), room), end)
        return [spread(content(*left), end, self.size.width)]

    def _bar(self, fraction: float | None, signs: Glyphs) -> list[Part]:
        if fraction is None:
            return []
        width = 10 if self.size.width >= NARROW else 6
        return [
            (f" {signs.bar_left}", "$ep-line"),
            (bar(fraction, width, signs), "$ep-accent"),
            (signs.bar_right, "$ep-line"),
            (f"{fraction:4.0%}".replace("%", " %"), "$ep-text"),
        ]


class Rail(_Framing):
    """The stages with their state."""

    view: var[ShellView] = var(ShellView())
    current: var[str] = var("")

    class Picked(Message):
        """A stage was clicked."""

        def __init__(self, stage: str) -> None:
            super().__init__()
            self.stage = stage

    def watch_view(self) -> None:
        """Show it."""
        self.repaint()

    def watch_current(self) -> None:
        """Show it."""
        self.repaint()

    def lines(self) -> list[Content]:
        """Two lines a stage and a blank one, or one glyph each."""
        signs = glyphs()
        if self.size.width < 8:
            return [self._small(stage, signs) for stage in self.view.stages]
        lines: list[Content] = []
        for stage in self.view.stages:
            lines += [*self._wide(stage, signs), Content("")]
        return lines

    def _small(self, stage: Stage, signs: Glyphs) -> Content:
        here = stage.name == self.current
        return content(
            (signs.mark if here else " ", "$ep-accent"),
            (f"{stage.number}", "bold $ep-accent" if here else "$ep-text"),
            (state_sign(stage.state, signs), _STATE_STYLE[stage.state]),
        )

    def _wide(self, stage: Stage, signs: Glyphs) -> tuple[Content, Content]:
        here = stage.name == self.current
        edge = (signs.mark if here else " ", "$ep-accent")
        name = content(
            edge,
            (f"{stage.number} ", "$ep-accent" if here else "$ep-quiet"),
            (stage.title, "bold $ep-accent" if here else "$ep-text"),
        )
        sign = content((state_sign(stage.state, signs), _STATE_STYLE[stage.state]), " ")
        summary = content(edge, "  ", (stage.summary, "$ep-quiet"))
        return spread(name, sign, self.size.width), cut(summary, self.size.width)

    def on_click(self, event: Click) -> None:
        """A click on a stage goes there."""
        row = event.y if self.size.width < 8 else event.y // 3
        if 0 <= row < len(self.view.stages):
            self.post_message(self.Picked(self.view.stages[row].name))


class NextLine(_Framing):
    """The next best action and why; or what went wrong and the remedy."""

    view: var[ShellView] = var(ShellView())
    said: var[str] = var("")
    """What the pane itself suggests; wins over the session's suggestion."""
    whole: var[str] = var("")
    """The key that shows in full what has no room here."""
    pending: var[str] = var("")
    """Keys of a sequence that is not complete."""

    def watch_view(self) -> None:
        """Show it."""
        self.repaint()

    def watch_said(self) -> None:
        """Show it."""
        self.repaint()

    def watch_pending(self) -> None:
        """Show it."""
        self.repaint()

    @property
    def suggested(self) -> str:
        """What to do next."""
        return self.said or self.view.next

    def lines(self) -> list[Content]:
        """One line."""
        if self.view.error:
            body = content((f" {glyphs().problem} ", "bold $ep-bad"), (self.view.error, "$ep-text"))
        elif self.view.notice:
            signs = glyphs()
            sign, style = (signs.problem, "bold $ep-warning") if self.view.warns else (signs.done, "bold $ep-good")
            body = content((f" {sign} ", style), (self.view.notice, "$ep-text"))
        else:
            body = content((" Next ", "bold $ep-accent"), " ", (self.suggested, "$ep-text"))
        right = content("")
        if self.pending:
            right = content((f"{self.pending}{glyphs().ellipsis} ", "bold $ep-accent"))
        elif body.cell_length > self.size.width and self.whole:
            right = content((self.whole, "bold $ep-text"), (" all ", "$ep-quiet"))
        return [spread(body, right, self.size.width)]


class KeyFooter(_Framing):
    """The keys that work here, as many as fit, the most useful first."""

    commands: var[Sequence[Command]] = var(())

    def watch_commands(self) -> None:
        """Show them."""
        self.repaint()

    def lines(self) -> list[Content]:
        """One line."""
        shell = [c for c in self.commands if not c.stages]
        tail = content(*(p for c in shell for p in self._item(c)))
        used, parts = tail.cell_length, [" "]
        line: list[Part] = list(parts)
        for command in (c for c in self.commands if c.stages):
            item = content(*self._item(command))
            if used + item.cell_length + 1 > self.size.width:
                break
            used += item.cell_length
            line.append(item)
        return [content(*line, tail)]

    @staticmethod
    def _item(command: Command) -> tuple[Part, ...]:
        return ((shown_key(command.keys[0]), "bold $ep-text"), (f" {command.title}   ", "$ep-quiet"))

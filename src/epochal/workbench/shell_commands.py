"""The stages, and the commands everywhere and of the panes before a run (`epochal.workbench.keys` says how keys are written)."""

from __future__ import annotations

from epochal.workbench.keys import Command
from epochal.workbench.run_commands import SHIP, TEST, TRAIN


STAGES: tuple[tuple[str, str], ...] = (
    ("goal", "Goal"),
    ("data", "Data"),
    ("label", "Label"),
    ("model", "Model"),
    ("train", "Train"),
    ("test", "Test"),
    ("ship", "Ship"),
)
"""The stages in order: name and title; the digit is the place."""

STAGE_NAMES = tuple(name for name, _title in STAGES)

_STAGE_HELP = {
    "goal": "What is asked, and when the answer is good.",
    "data": "The rows: look, clean, see what was left out.",
    "label": "Decide labels by hand, one key each.",
    "model": "Which families fit, and their settings.",
    "train": "The live chart of a run.",
    "test": "What the sealed test set says.",
    "ship": "Use the model elsewhere.",
}

SHELL: tuple[Command, ...] = (
    *(
        Command(
            id=f"stage.{name}",
            title=title,
            help=f"Go to {title}. {_STAGE_HELP[name]}",
            keys=(str(n), f"g{n}"),
            section="Stages",
        )
        for n, (name, title) in enumerate(STAGES, 1)
    ),
    Command(
        id="app.palette",
        title="commands",
        help="Find any command by name.",
        keys=(":", "ctrl+p"),
        footer=90,
        section="Everywhere",
    ),
    Command(
        id="app.help",
        title="help",
        help="What this pane is for, and its keys.",
        keys=("?",),
        footer=91,
        section="Everywhere",
    ),
    Command(
        id="app.messages",
        title="messages",
        help="What was said of late, in full, and what is suggested next.",
        keys=("M",),
        section="Everywhere",
    ),
    Command(
        id="app.escape",
        title="cancel",
        help="Cancel what is under way, else close what is open, else go back.",
        keys=("Esc",),
        section="Everywhere",
    ),
    Command(
        id="app.back",
        title="back",
        help="Close what is open over the pane, or go to the pane before.",
        keys=("q",),
        section="Everywhere",
    ),
    Command(
        id="app.quit",
        title="quit",
        help="Leave the workbench; runs of the detached host go on.",
        keys=("gq", "ctrl+q"),
        section="Everywhere",
    ),
    Command(
        id="app.undo",
        title="undo",
        help="Take back the last decision, also one of an earlier session.",
        keys=("U",),
        cli="clean --undo",
        section="Everywhere",
    ),
    Command(
        id="app.redo",
        title="redo",
        help="Do again what was taken back.",
        keys=("R", "ctrl+r"),
        cli="clean --redo",
        section="Everywhere",
    ),
    Command(
        id="app.theme",
        title="theme",
        help="The next theme: dusk, dawn, ansi, your own.",
        keys=("gt",),
        stages=("goal", "label", "model", "train", "test", "ship", "home"),
        section="Everywhere",
    ),
    Command(id="app.redraw", title="redraw", help="Draw the screen anew.", keys=("ctrl+l",), section="Everywhere"),
    Command(id="app.home", title="projects", help="Recent projects and samples.", keys=("g0",), section="Everywhere"),
)

GOAL: tuple[Command, ...] = (
    Command(id="goal.down", title="down", help="The next line.", keys=("j", "down"), stages=("goal",)),
    Command(id="goal.up", title="up", help="The line before.", keys=("k", "up"), stages=("goal",)),
    Command(
        id="goal.edit",
        title="change",
        help="Change the setting under the cursor.",
        keys=("Enter", "e"),
        stages=("goal",),
        footer=1,
    ),
    Command(
        id="goal.target",
        title="target",
        help="Choose what is predicted.",
        keys=("t",),
        stages=("goal",),
        footer=2,
        cli="new --target",
    ),
    Command(
        id="goal.metric", title="metric", help="Choose how models are judged.", keys=("m",), stages=("goal",), footer=3
    ),
    Command(
        id="goal.source",
        title="source",
        help="Declare licence, origin and personal data of a source.",
        keys=("s",),
        stages=("goal",),
        footer=4,
    ),
)

MODEL: tuple[Command, ...] = (
    Command(id="model.down", title="down", help="The next family or setting.", keys=("j", "down"), stages=("model",)),
    Command(id="model.up", title="up", help="The family or setting before.", keys=("k", "up"), stages=("model",)),
    Command(
        id="model.other",
        title="settings",
        help="Between families and settings.",
        keys=("Tab", "shift+Tab"),
        stages=("model",),
        footer=3,
    ),
    Command(
        id="model.take",
        title="train it",
        help="On a family: take it and train. On a setting: change it.",
        keys=("Enter",),
        stages=("model",),
        footer=1,
        cli="train --set model.family=NAME",
    ),
    Command(
        id="model.use",
        title="use only",
        help="Take this family without training yet.",
        keys=("u",),
        stages=("model",),
        footer=2,
        when="families",
    ),
    Command(
        id="model.measure",
        title="measure",
        help="Try each family for a short, equal time, judged on validation.",
        keys=("c",),
        stages=("model",),
        footer=5,
    ),
    Command(
        id="model.check",
        title="check",
        help="Check the settings before a run: short trainings that show faults and suggest a learning rate and a batch size.",
        keys=("C",),
        stages=("model",),
        footer=4,
        cli="check",
    ),
    Command(
        id="model.budget",
        title="budget",
        help="The time that families and sizes are fitted to.",
        keys=("b",),
        stages=("model",),
        footer=6,
    ),
    Command(
        id="model.trust",
        title="trust",
        help="Show the files of the project's own model with their hashes, and let them run.",
        keys=("t",),
        stages=("model",),
        footer=2,
        cli="trust",
        when="untrusted",
    ),
    Command(
        id="model.verify",
        title="verify resume",
        help="Show that a run with these settings, stopped and resumed, is the uninterrupted one, to the bit.",
        keys=("v",),
        stages=("model",),
        footer=7,
        cli="verify-resume",
    ),
    Command(
        id="model.suggested",
        title="as suggested",
        help="Put the setting under the cursor back to what is suggested.",
        keys=("d",),
        stages=("model",),
        footer=2,
        when="settings",
    ),
)

HOME: tuple[Command, ...] = (
    Command(id="home.down", title="down", help="The next project.", keys=("j", "down"), stages=("home",)),
    Command(id="home.up", title="up", help="The project before.", keys=("k", "up"), stages=("home",)),
    Command(
        id="home.open",
        title="open",
        help="Open it; a sample is copied here first.",
        keys=("Enter",),
        stages=("home",),
        footer=1,
        cli="demo",
    ),
    Command(
        id="home.path",
        title="open a path",
        help="Open a project folder or a data file by its path.",
        keys=("o",),
        stages=("home",),
        footer=2,
    ),
)

START: tuple[Command, ...] = (
    Command(
        id="start.accept",
        title="accept",
        help="Make the project as proposed and go on to the models.",
        keys=("Enter",),
        stages=("start",),
        footer=1,
        cli="new",
    ),
    Command(
        id="start.target",
        title="target",
        help="Choose another column to predict.",
        keys=("t",),
        stages=("start",),
        footer=2,
        cli="new --target",
    ),
    Command(
        id="start.task",
        title="task",
        help="Classes or a number.",
        keys=("y",),
        stages=("start",),
        footer=3,
        cli="new --task",
    ),
    Command(
        id="start.leave-out",
        title="leave out",
        help="Leave out the inputs that nearly tell the target alone; again, and they are taken back in.",
        keys=("i",),
        stages=("start",),
        footer=4,
        when="suspected",
    ),
    Command(
        id="start.reading",
        title="reading",
        help="Correct how the file is read: what stands between fields, the first line, the encoding, quotes.",
        keys=("r",),
        stages=("start",),
        footer=5,
        when="text",
        cli='new --set source.delimiter=";"',
    ),
    Command(id="start.down", title="down", help="Scroll down.", keys=("j", "down"), stages=("start",)),
    Command(id="start.up", title="up", help="Scroll up.", keys=("k", "up"), stages=("start",)),
)

STAGE_COMMANDS: tuple[Command, ...] = (*MODEL, *TRAIN, *TEST, *SHIP, *HOME, *START)

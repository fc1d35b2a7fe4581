"""The Model pane's view: families that fit, with evidence; settings with their meaning."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from epochal.core.settings import Train, table_of
from epochal.core.tasks import FAMILIES, METRICS, MODULE, OWN, Option, families_for
from epochal.project.code import Difference
from epochal.project.trust import TRUSTING, Standing, short
from epochal.show import safe
from epochal.workbench.evidence import asked_of, target_of
from epochal.workbench.views.train import Tone
from epochal.workbench.views.words import about, count, duration, figure, memory, some


if TYPE_CHECKING:
    from epochal.core.settings import Project
    from epochal.data.protocol import Built
    from epochal.runs.state import RunInfo
    from epochal.workbench.flow import Choice


@dataclass(frozen=True, slots=True, kw_only=True)
class FamilyRow:
    """One family that fits."""

    name: str
    why: str
    parameters: str = "–"
    about: str = "–"
    """How long training takes, in all."""
    per_epoch: str = "–"
    memory: str = "–"
    trial: str = "–"
    """What the short trial gave, with its spread."""
    last: str = ""
    """The last run's result."""
    taken: bool = False
    detail: str = ""
    """What is said of it below the table instead of `why`, where that is too short."""

    @property
    def words(self) -> str:
        """All that was measured of it as one sentence: a table has no room for it."""
        known = (
            (self.parameters, "{} parameters"),
            (self.per_epoch, "{} an epoch"),
            (self.about, "about {} in all"),
            (self.memory, "{} of memory"),
        )
        told = (words.format(value) for value, words in known if value != "–")
        return " · ".join([self.detail or self.why, *told]).replace("about <", "under ")


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingRow:
    """One setting."""

    path: str
    """Dotted, as `--set` takes it."""
    title: str
    value: str
    resolved: str
    """What "auto" was in the last run of these settings, if that is known."""
    changed: bool
    meaning: str
    expected: str
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelView:
    """What the Model pane shows."""

    sentence: tuple[tuple[str, Tone], ...]
    metric: str
    families: tuple[FamilyRow, ...]
    baselines: tuple[FamilyRow, ...]
    settings: tuple[SettingRow, ...]
    family: str
    reason: str
    changed: int
    busy: str
    next: str
    untrusted: bool = False
    """Whether the project's own model is code that the person has not allowed to run."""


def model_view(
    project: Project,
    *,
    built: Built | None = None,
    choice: Choice | None = None,
    runs: tuple[RunInfo, ...] = (),
    info: RunInfo | None = None,
    baselines: Mapping[str, Any] | None = None,
    busy: str = "",
    code: Standing | None = None,
) -> ModelView:
    """The view of the families and settings of a project; the baselines are what the run `info` must beat.

    `code` is how the project's own code stands, where its model is made of it; None while nobody looked.

    Runs that learnt from something else, or were judged otherwise, say nothing here.
    """
    asked = asked_of(project)
    runs = tuple(r for r in runs if asked_of(r.spec.project) == asked)
    baselines = baselines if info is None or info in runs else {}
    found = {str(c.get("family", "")): c for c in (choice.candidates if choice else ())}
    fitting = [f.name for f in families_for(project.goal.task)]
    order = [n for n in found if n in fitting] + [n for n in fitting if n not in found]
    settings = setting_rows(project, runs, suggested_values(project, choice))
    untrusted = project.model.family == OWN and code is not None and not code.trusted
    return ModelView(
        sentence=_sentence(project, built),
        metric=METRICS[project.metric].title,
        families=(
            *(_family(name, project, found.get(name, {}), runs) for name in order),
            *([_own(project, runs, code)] if project.goal.task in FAMILIES[OWN].tasks else []),
        ),
        baselines=_baselines(project, baselines or {}),
        settings=settings,
        family=project.model.family,
        reason=_reason(project, choice),
        changed=sum(s.changed for s in settings),
        busy=busy,
        next=_next(project, busy, untrusted=untrusted),
        untrusted=untrusted,
    )


def _reason(project: Project, choice: Choice | None) -> str:
    """Why the trial chose what it did; first that a person chose otherwise, where they did."""
    if choice is None:
        return ""
    family = project.model.family
    if family in {"", choice.chosen}:
        return safe(choice.reason)
    return safe(f"you took {family}; by the trial: {choice.reason.replace(' is taken', ' would be taken')}")


def _sentence(project: Project, built: Built | None) -> tuple[tuple[str, Tone], ...]:
    target = safe(project.columns.target or "?")
    parts: list[tuple[str, Tone]] = []
    if project.columns.target and not target_of(project):
        return ((f"the recipe takes the target {target} away", "warning"),)
    if built is not None:
        classes = f" ({some(len(built.classes), 'class', 'classes')})" if built.classes else " (a number)"
        parts.append((f"{some(len(built.inputs), 'input')} → {target}{classes}", "text"))
        parts.append((f"{count(built.ledger['train'])} rows to learn from", "text"))
    else:
        parts.append((f"{project.goal.task} of {target}", "text"))
    parts.append((f"budget {safe(project.train.budget)}", "quiet"))
    return tuple(parts)


def _family(name: str, project: Project, found: Mapping[str, Any], runs: tuple[RunInfo, ...]) -> FamilyRow:
    last = next((r for r in runs if r.spec.family == name and r.value is not None), None)
    return FamilyRow(
        name=name,
        why=safe(str(found.get("why") or FAMILIES[name].why)),
        parameters=about(found["parameters"]) if found.get("parameters") else "–",
        about=_about(name, project, found),
        per_epoch=f"{found['seconds_per_epoch']:.2g} s" if found.get("seconds_per_epoch") is not None else "–",
        memory=memory(found["memory_bytes"]) if found.get("memory_bytes") else "–",
        trial=_trial(found),
        last=f"{figure(last.value)}  run {last.spec.number}" if last else "",
        taken=name == project.model.family,
    )


def _about(name: str, project: Project, found: Mapping[str, Any]) -> str:
    """How long training takes: as it was tried, or of so many epochs as are set since."""
    seconds, each, epochs = found.get("seconds"), found.get("seconds_per_epoch"), project.train.epochs
    if isinstance(epochs, int) and each is not None and "epochs" not in FAMILIES[name].idle:
        seconds = epochs * each
    return duration(seconds) if seconds is not None else "–"


def _own(project: Project, runs: tuple[RunInfo, ...], code: Standing | None) -> FamilyRow:
    """The model of one's own: how to write one, or which it is and whether it may run."""
    row = _family(OWN, project, {}, runs)
    if project.model.family != OWN:
        return replace(
            row,
            detail="Your own torch module: write a class in a file of the project, such as model.py, and Enter names it. "
            "`epochal demo own-model` copies one to begin with.",
        )
    module = safe(str(project.model.options[MODULE]))
    if code is None:
        return replace(row, why=module)
    files = f"{module}: {some(len(code.code.files), 'file')} of code, together {short(code.code.digest)}"
    if code.trusted:
        return replace(row, why=f"{module}, trusted", detail=f"{files}, trusted by you as it is")
    since = safe(code.since.words) if code.since is not None else ""
    changed = f"not what you trusted: {since or 'it changed'}" if code.states else "not trusted by you yet"
    return replace(row, why=f"{module}, not trusted", detail=f"{files}, {changed}")


def trust_lines(code: Standing) -> tuple[str, ...]:
    """What a person reads before they let code run: every file with its hash, what changed, what trusting means."""
    since = code.since or Difference()
    marks = {}
    if code.since is not None:
        marks = {**dict.fromkeys(since.added, "added"), **dict.fromkeys(since.changed, "changed")}
    files = [
        f"{short(sha256)} {safe(name, 200)}" + (f" ({marks[name]} since you trusted it)" if name in marks else "")
        for name, sha256 in code.code.files.items()
    ]
    gone = [f"removed since you trusted it: {safe(name, 200)}" for name in since.removed]
    left_out = [f"left out, and cannot be imported: {safe(n, 200)} ({why})" for n, why in code.code.left_out.items()]
    return (TRUSTING, "", *files, *gone, *left_out)


def _trial(found: Mapping[str, Any]) -> str:
    if found.get("value") is None:
        return "–"
    spread = found.get("spread")
    return f"{figure(found['value'])} ± {figure(spread)}" if spread else figure(found["value"])


def _baselines(project: Project, baselines: Mapping[str, Any]) -> tuple[FamilyRow, ...]:
    return tuple(
        FamilyRow(
            name=safe(name),
            why=f"baseline: {safe(b.title)}",
            about=duration(b.seconds),
            last=figure(b.metrics.get(project.metric)),
        )
        for name, b in baselines.items()
    )


_TITLES = {"l2": "L2 penalty"}
_HANDED = "Handed to your class; only that knows what it means."


def suggested_values(project: Project, choice: Choice | None) -> dict[str, Any]:
    """What the trial of families wrote for this family, by dotted path: nobody changed that."""
    if choice is None:
        return {}
    tried = next((c for c in choice.candidates if c.get("family") == project.model.family), {})
    options = choice.options if choice.chosen == project.model.family else tried.get("options", {})
    return {**{f"model.{name}": value for name, value in options.items()}, **choice.settings}


def setting_rows(
    project: Project, runs: tuple[RunInfo, ...], suggested: Mapping[str, Any] | None = None
) -> tuple[SettingRow, ...]:
    """The settings of the family and of training, with what they mean and whether a person changed them.

    `suggested` are values that differ from the defaults without a person's doing, by dotted path.
    """
    suggested = suggested or {}
    # What auto became in a run of other settings is not what it will become in the next one.
    alike = ((r.spec.project.model, r.spec.project.train) == (project.model, project.train) for r in runs)
    resolved = next((r.spec.resolved for r, same in zip(runs, alike, strict=True) if same and r.spec.resolved), {})
    rows: list[SettingRow] = []
    if project.model.family:
        family = FAMILIES[project.model.family]
        theirs = [Option(name=k, default="", meaning=_HANDED) for k in project.model.options if k != MODULE]
        for option in (*family.options, *(theirs if family.open else ())):
            value = project.model.options.get(option.name, option.default)
            rows.append(
                SettingRow(
                    path=f"model.{option.name}",
                    title=_title(option.name),
                    value=_shown(value),
                    resolved=_resolved(resolved, "model", option.name, value),
                    changed=option.name != MODULE and value != suggested.get(f"model.{option.name}", option.default),
                    meaning=option.meaning,
                    expected=_range(option.low, option.high),
                    choices=option.choices,
                )
            )
    changed = table_of(project.train)
    idle = FAMILIES[project.model.family].idle if project.model.family else ()
    for declared in fields(Train):
        if declared.name in idle and declared.name not in changed:
            continue
        value = getattr(project.train, declared.name)
        rows.append(
            SettingRow(
                path=f"train.{declared.name}",
                title=_title(declared.name),
                value=_shown(value),
                resolved=_resolved(resolved, "train", declared.name, value),
                changed=declared.name in changed and value != suggested.get(f"train.{declared.name}"),
                meaning=declared.metadata["meaning"],
                expected=declared.metadata["expected"],
                choices=tuple(c for c in declared.metadata["choices"] if c),
            )
        )
    return tuple(rows)


def _title(name: str) -> str:
    return _TITLES.get(name, name.replace("_", " "))


def _shown(value: Any) -> str:
    """A value as one may type it; a list in brackets, thousands apart."""
    if isinstance(value, tuple):
        return f"[{', '.join(str(v) for v in value)}]"
    if isinstance(value, int) and not isinstance(value, bool):
        return count(value)
    return safe(str(value)) if value not in ("", None) else "–"


def _resolved(resolved: Mapping[str, Any], table: str, name: str, value: Any) -> str:
    if value != "auto":
        return ""
    inner = resolved.get(table)
    found = inner.get(name) if isinstance(inner, Mapping) else resolved.get(f"{table}.{name}", resolved.get(name))
    if isinstance(found, float):
        return f"{found:.3g}"
    return _shown(found) if found is not None else ""


def _range(low: float | None, high: float | None) -> str:
    return f"from {_bound(low)} to {_bound(high)}" if low is not None and high is not None else ""


def _bound(value: float) -> str:
    return count(value) if value == int(value) and abs(value) >= 1000 else f"{value:g}"


def _next(project: Project, busy: str, *, untrusted: bool) -> str:
    if busy:
        return f"wait: {safe(busy)}; or Enter takes one."
    if not target_of(project):
        return "1 Goal: say which column is to be predicted."
    if untrusted:
        return "t shows the files of your own model, to let them run."
    if project.model.family:
        return f"Enter trains the family under the cursor; {project.model.family} is taken now."
    return "c measures which family fits; Enter takes the one under the cursor."

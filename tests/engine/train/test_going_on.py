"""Going on with a run: from the right checkpoint, to the bit or not at all, and what rotation leaves of the others."""

from __future__ import annotations

import errno
import json
import shutil
from contextlib import closing
from dataclasses import replace
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from epochal.core.errors import RunError
from epochal.core.events import CheckpointSaved, Noticed, Resumed, RunEnded, StepsDone, TrainingStarted
from epochal.journal.append import JournalWriter
from epochal.project import checkpoints
from epochal.project.checkpoints import best_of, checkpoints_of, is_whole, newest_checkpoint
from epochal.project.exact import facts_of
from epochal.project.runfile import read_run, write_run
from epochal.runs.keeper import Keeper
from epochal.runs.resume import refuse_resume, resume
from epochal.runs.state import run_info
from epochal.train.checkpoint import BadCheckpoint, load_checkpoint, save_checkpoint
from epochal.train.fit import fit
from epochal.train.make import dense_rows, make_learner, prepare
from epochal.train.plan import draft_plan
from epochal.train.rows import read_training
from epochal.train.seeds import order
from epochal.train.state import TrainState, advance


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def spec(spec_of, blobs):
    return spec_of(blobs(), target="label", train={"epochs": 40, "patience": 500})


def stopped(spec, looks=3, way="exactly"):
    """What a run says that is asked for a checkpoint at each look and to stop at the last; its journal has it too."""
    events, looked = [], count(1)

    def poll():
        training = any(isinstance(e, TrainingStarted) for e in events)
        return (("stop",) if next(looked) == looks else ("checkpoint",)) if training else ()

    for event in fit(spec, poll, way=way):
        events.append(event)  # noqa: PERF402 - the requests look at what was said so far
    journal = JournalWriter(spec.folder)
    for event in events:
        journal.append(event)
    journal.close()
    return events


def steps_of(spec):
    return [c.step for c in checkpoints_of(spec.folder)]


def change_facts(spec, **facts):
    """As if every checkpoint had been written under other circumstances."""
    for checkpoint in checkpoints_of(spec.folder):
        path = checkpoint.folder / "manifest.json"
        manifest = json.loads(path.read_text())
        manifest["facts"] |= facts
        path.write_text(json.dumps(manifest))


def test_a_checkpoint_that_its_host_was_killed_in_the_middle_of_replacing_is_gone_on_from(spec):
    """It stands aside for the moment in which another takes its place."""
    stopped(spec)
    last = checkpoints_of(spec.folder)[-1].folder
    for checkpoint in checkpoints_of(spec.folder)[:-1]:
        shutil.rmtree(checkpoint.folder)
    last.rename(last.with_name(f".old.{last.name}.0123456789ab.tmp"))

    refuse_resume(run_info(spec.folder))
    assert is_whole(last)
    last.rename(last.with_name(f".old.{last.name}.0123456789ab.tmp"))
    Keeper(spec.folder, "host").release()
    assert is_whole(last)


class TestAResumeThatCannotMatch:
    @pytest.mark.parametrize("changed", ["torch", "numpy", "lightgbm", "python", "cpu", "[resolved] device", "epochal"])
    def test_is_refused_before_the_data_are_read_and_names_what_changed(self, spec, changed):
        stopped(spec)
        change_facts(spec, **{changed: "another"})
        shutil.rmtree(spec.project_folder / ".epochal")
        now = facts_of(read_run(spec.folder))[changed]

        with pytest.raises(RunError) as refused:
            list(fit(read_run(spec.folder), tuple))

        assert refused.value.error_code == "resume-differs"
        assert f"{changed} was another, now {now}" in refused.value.what
        for choice in ("bring back", "--anyway", "`epochal train`"):
            assert choice in refused.value.fix

    def test_is_refused_before_a_host_is_started_and_the_run_stands_as_it_did(self, spec):
        stopped(spec)
        change_facts(spec, torch="1.0")
        with pytest.raises(RunError) as refused:
            resume(spec.folder)

        assert refused.value.error_code == "resume-differs"
        assert not (spec.folder / "status.json").exists()

    def test_names_a_setting_that_was_edited_since(self, spec):
        stopped(spec)
        run = read_run(spec.folder)
        write_run(replace(run, resolved={**run.resolved, "learning_rate": 0.5}))
        with pytest.raises(RunError, match=r"\[resolved\] learning_rate was 0\.\d+, now 0\.5"):
            list(fit(read_run(spec.folder), tuple))

    def test_names_what_a_person_told_the_libraries_of_their_kernels(self, spec, monkeypatch):
        stopped(spec)
        monkeypatch.setenv("ATEN_CPU_CAPABILITY", "default")
        with pytest.raises(RunError, match="ATEN_CPU_CAPABILITY was not recorded, now default"):
            resume(spec.folder)

    def test_is_not_refused_for_what_changes_no_figure(self, spec):
        stopped(spec)
        run = read_run(spec.folder)
        train = replace(run.project.train, host="thread", checkpoint_every="1 s", time_limit="1 h", budget="1 h")
        write_run(replace(run, project=replace(run.project, train=train)))

        assert list(fit(read_run(spec.folder), tuple))[-1].state == "done"

    def test_is_refused_where_nothing_was_recorded(self, spec):
        stopped(spec)
        for checkpoint in checkpoints_of(spec.folder):
            path = checkpoint.folder / "manifest.json"
            path.write_text(json.dumps({**json.loads(path.read_text()), "facts": {}}))
        with pytest.raises(RunError, match="torch was not recorded"):
            list(fit(read_run(spec.folder), tuple))

    def test_goes_on_anyway_when_told_to_and_marks_the_seam(self, spec):
        first = stopped(spec)
        change_facts(spec, torch="1.0", numpy="1.0")
        events = list(fit(read_run(spec.folder), tuple, way="anyway"))
        resumed = next(e for e in events if isinstance(e, Resumed))

        assert resumed.from_step == first[-1].steps
        assert "torch was 1.0" in resumed.seam
        assert "numpy was 1.0" in resumed.seam
        assert any(isinstance(e, Noticed) and e.code == "seam" for e in events)
        assert events[-1].state == "done"

    def test_has_no_seam_when_nothing_differs_whatever_was_allowed(self, spec):
        stopped(spec)
        events = list(fit(read_run(spec.folder), tuple, way="anyway"))

        assert next(e for e in events if isinstance(e, Resumed)).seam == ""

    def test_of_other_data_is_refused_in_any_way(self, spec):
        stopped(spec)
        for checkpoint in checkpoints_of(spec.folder):
            path = checkpoint.folder / "manifest.json"
            manifest = json.loads(path.read_text())
            path.write_text(json.dumps({**manifest, "belongs": {**manifest["belongs"], "snapshot": "another"}}))
        with pytest.raises(BadCheckpoint, match="another snapshot"):
            list(fit(read_run(spec.folder), tuple, way="anyway"))


class TestACheckpointThatIsGone:
    def test_is_passed_over_for_the_one_before_and_that_is_said(self, spec):
        stopped(spec)
        *_, older, newest = checkpoints_of(spec.folder)
        shutil.rmtree(newest.folder)
        events = list(fit(read_run(spec.folder), tuple))
        said = [e.text for e in events if isinstance(e, Noticed) and e.code == "checkpoint-passed-over"]

        assert next(e for e in events if isinstance(e, Resumed)).from_step == older.step
        assert said == [f"the checkpoint of step {newest.step} is missing: the run goes on from step {older.step}"]
        assert events[-1].state == "done"

    def test_or_damaged_is_passed_over_and_replaced(self, spec):
        stopped(spec)
        *_, older, newest = checkpoints_of(spec.folder)
        next(newest.folder.glob("model.*")).write_bytes(b"")
        events = list(fit(read_run(spec.folder), lambda: ("checkpoint",)))
        said = [e.text for e in events if isinstance(e, Noticed) and e.code == "checkpoint-passed-over"]

        assert said == [f"the checkpoint of step {newest.step} is damaged: the run goes on from step {older.step}"]
        assert all(checkpoints.is_whole(c.folder) for c in checkpoints_of(spec.folder))

    @pytest.mark.parametrize("damage", ["deleted", "emptied"])
    def test_with_all_others_is_never_begun_again_silently(self, spec, damage):
        stopped(spec)
        for checkpoint in checkpoints_of(spec.folder):
            if damage == "deleted":
                shutil.rmtree(checkpoint.folder)
            else:
                (checkpoint.folder / "manifest.json").write_text("")
        for start in (lambda: list(fit(read_run(spec.folder), tuple)), lambda: resume(spec.folder)):
            with pytest.raises(RunError) as refused:
                start()
            assert refused.value.error_code == "no-checkpoint"
            assert "--from-start" in refused.value.fix

    def test_with_all_others_is_begun_again_when_told_to(self, spec):
        stopped(spec)
        for checkpoint in checkpoints_of(spec.folder):
            (checkpoint.folder / "manifest.json").write_text("")
        events = stopped(read_run(spec.folder), way="from-start")
        resumed = next(e for e in events if isinstance(e, Resumed))

        assert (resumed.from_step, resumed.folder) == (0, "")
        assert list(fit(read_run(spec.folder), tuple))[-1].state == "done"

    def test_not_at_all_is_no_reason_to_begin_again(self, spec):
        stopped(spec)
        with pytest.raises(RunError) as refused:
            list(fit(read_run(spec.folder), tuple, way="from-start"))
        assert refused.value.error_code == "has-checkpoint"

    def test_for_a_run_that_never_wrote_one_is_no_loss(self, spec):
        for event in fit(spec, tuple):
            if isinstance(event, TrainingStarted):
                break
        events = list(fit(read_run(spec.folder), tuple))
        assert next(e for e in events if isinstance(e, Resumed)).folder == ""


class TestARunThatDiverges:
    @pytest.fixture
    def poisoned(self, spec_of, blobs, monkeypatch):
        """A run some of whose rows become infinite, in the data themselves, after a checkpoint of so many steps."""
        spec = spec_of(blobs(), target="label", family="mlp", options={"width": 8}, train={"epochs": 60})
        rows = []
        monkeypatch.setattr("epochal.train.begin.dense_rows", lambda given: rows.append(dense_rows(given)) or rows[-1])

        def events(after=8):
            for event in fit(read_run(spec.folder), lambda: ("checkpoint",)):
                yield event
                if isinstance(event, CheckpointSaved) and event.step > after:
                    rows[-1].train.numbers[::50, 0] = np.inf

        return spec, events

    def test_keeps_its_last_healthy_checkpoint_names_it_and_goes_on_from_it(self, poisoned):
        spec, events = poisoned
        said = list(events())
        end, saved = said[-1], [e for e in said if isinstance(e, CheckpointSaved)]

        assert isinstance(end, RunEnded)
        assert end.state == "diverged"
        assert newest_checkpoint(spec.folder).name == f"step-{saved[-1].step:08d}"
        assert f"the last healthy checkpoint is of step {saved[-1].step}" in end.reason
        assert "a lower learning rate may help" in end.reason
        again = list(fit(read_run(spec.folder), tuple))
        assert next(e for e in again if isinstance(e, Resumed)).from_step == saved[-1].step
        assert again[-1].state == "done"
        assert np.isfinite([e.loss for e in again if isinstance(e, StepsDone)]).all()

    def test_after_some_steps_and_before_its_first_checkpoint_keeps_what_it_had_learnt(
        self, spec_of, blobs, monkeypatch
    ):
        spec = spec_of(blobs(), target="label", family="mlp", options={"width": 8}, train={"epochs": 60})
        rows = []
        monkeypatch.setattr("epochal.train.begin.dense_rows", lambda given: rows.append(dense_rows(given)) or rows[-1])
        for event in fit(spec, tuple):
            if isinstance(event, TrainingStarted):
                rows[-1].train.numbers[order(0, 0, len(rows[-1].train.numbers))[-1], 0] = np.inf  # in the last batch

        assert event.state == "diverged"
        assert event.steps > 0
        assert newest_checkpoint(spec.folder).name == f"step-{event.steps:08d}"
        assert f"the last healthy checkpoint is of step {event.steps}" in event.reason
        again = list(fit(read_run(spec.folder), tuple))
        assert next(e for e in again if isinstance(e, Resumed)).from_step == event.steps
        assert again[-1].state == "done"

    def test_before_its_first_step_is_not_begun_again_unasked(self, spec_of, blobs, monkeypatch):
        spec = spec_of(blobs(), target="label", family="mlp", options={"width": 8}, train={"epochs": 60})
        rows = []
        monkeypatch.setattr("epochal.train.begin.dense_rows", lambda given: rows.append(dense_rows(given)) or rows[-1])

        def told(way="exactly"):
            with closing(JournalWriter(spec.folder)) as journal:
                for event in fit(read_run(spec.folder), tuple, way=way):
                    journal.append(event)
                    if isinstance(event, TrainingStarted):
                        rows[-1].train.numbers[::50, 0] = np.inf
                    yield event

        end = list(told())[-1]
        assert (end.state, newest_checkpoint(spec.folder)) == ("diverged", None)
        assert "at the very first step; look at the loss and at the inputs" in end.reason
        assert "rate" not in end.reason
        with closing(JournalWriter(spec.folder)) as another:
            another.append(RunEnded(state="failed", reason="a host that would not go on"))
        for going in (lambda: list(told()), lambda: resume(spec.folder)):
            with pytest.raises(RunError, match="diverged before its first checkpoint") as refused:
                going()
            assert refused.value.error_code == "no-checkpoint"
            assert "--from-start" in refused.value.fix
            assert "`epochal train`" in refused.value.fix

        again = told("from-start")
        assert next(e for e in again if isinstance(e, Resumed)).folder == ""


@pytest.fixture
def saving(spec):
    """A function that saves a checkpoint of a step with a value of the metric."""
    prepared = prepare(read_training(spec))
    plan = draft_plan(spec.project, "linear", prepared)
    state = TrainState(learner=make_learner(prepared, "linear", plan).learner, plan=plan, metric="accuracy")

    def save(value, *, healthy=True, pinned=False):
        advance(state, 1)
        state.counters.last_value = value
        if not healthy:
            state.counters.last_train_loss = float("nan")
        return save_checkpoint(spec.folder, state, {"run": "r"}, pinned=pinned)

    return save


class TestRotation:
    def test_keeps_the_best_and_the_newest_two(self, spec, saving):
        for value in (0.5, 0.9, 0.6, 0.7, 0.8):
            saving(value)

        assert steps_of(spec) == [2, 4, 5]
        assert best_of(checkpoints_of(spec.folder), "accuracy").step == 2

    def test_takes_the_newer_of_equals_for_the_best(self, spec, saving):
        for value in (0.9, 0.9, 0.5, 0.5, 0.5):
            saving(value)

        assert steps_of(spec) == [2, 4, 5]

    def test_never_counts_one_that_is_not_healthy(self, spec, saving):
        for value, healthy in ((0.5, True), (0.6, True), (0.99, False), (0.99, False)):
            saving(value, healthy=healthy)

        assert steps_of(spec) == [1, 2, 4]
        assert newest_checkpoint(spec.folder).name == "step-00000002"

    def test_keeps_what_is_pinned_until_it_is_unpinned(self, spec, saving):
        saving(0.1, pinned=True)
        for value in (0.9, 0.2, 0.3, 0.4):
            saving(value)
        assert steps_of(spec) == [1, 2, 4, 5]
        assert [c.pinned for c in checkpoints_of(spec.folder)] == [True, False, False, False]

        checkpoints.unpin(checkpoints_of(spec.folder)[0].folder)
        saving(0.5)

        assert steps_of(spec) == [2, 5, 6]

    def test_does_not_trust_one_that_is_damaged(self, spec, saving):
        for value in (0.9, 0.2, 0.3):
            saving(value)
        next(checkpoints_of(spec.folder)[-1].folder.glob("model.*")).write_bytes(b"")
        saving(0.4)

        assert steps_of(spec) == [1, 2, 4]

    def test_that_finds_one_deleted_by_hand_meanwhile_goes_on(self, spec, saving, monkeypatch):
        for value in (0.9, 0.5):
            saving(value)
        keep = checkpoints.to_keep

        def meanwhile(*given):
            kept = keep(*given)
            shutil.rmtree(spec.folder / "checkpoints" / "step-00000002")
            return kept

        saving(0.6)
        monkeypatch.setattr(checkpoints, "to_keep", meanwhile)

        assert saving(0.7).left == ()
        assert steps_of(spec) == [1, 3, 4]

    def test_that_the_disk_refuses_leaves_the_old_one_and_says_so_once(self, spec, monkeypatch):
        """The run goes on: its new checkpoint stands."""
        rename = Path.rename

        def refused(path, target):
            if path.name.startswith("step-") and path.exists():
                raise PermissionError(errno.EACCES, "Permission denied")
            return rename(path, target)

        monkeypatch.setattr(Path, "rename", refused)
        events = list(fit(spec, lambda: ("checkpoint",)))
        told = [e for e in events if isinstance(e, Noticed) and e.code == "not-deleted"]

        assert events[-1].state == "done"
        assert len(told) > 1
        assert len({e.text for e in told}) == len(told)
        assert "Permission denied" in told[0].text

    def test_clears_what_killed_writers_left(self, spec, saving):
        saving(0.5)
        folder = spec.folder / "checkpoints"
        for name in (".step-00000009.0123456789ab.tmp", ".trash.step-00000001.0123456789ab.tmp"):
            (folder / name).mkdir()
            (folder / name / "model.safetensors").write_text("half")
        saving(0.6)

        assert sorted(p.name for p in folder.iterdir()) == ["step-00000001", "step-00000002"]


def test_a_checkpoint_of_another_shape_is_named_and_not_gone_on_from(spec_of, blobs):
    spec = spec_of(blobs(), target="label", family="mlp", options={"width": 8})
    prepared = prepare(read_training(spec))
    plan = draft_plan(spec.project, "mlp", prepared)

    def state(width):
        wide = replace(plan, options={**plan.options, "width": width})
        return TrainState(learner=make_learner(prepared, "mlp", wide).learner, plan=wide, metric="accuracy")

    saved = save_checkpoint(spec.folder, state(8), {})
    with pytest.raises(BadCheckpoint, match="does not fit the model of this version"):
        load_checkpoint(saved.folder, state(16), {})


def test_a_stop_while_it_is_still_read_leaves_what_stood_and_says_so(spec):
    """A run that goes on and is stopped before its next step has not lost its checkpoint, and does not say it has."""
    stopped(spec)
    step = checkpoints_of(spec.folder)[-1].step
    end = list(fit(read_run(spec.folder), lambda: ("stop",)))[-1]

    assert (end.state, end.reason) == ("stopped", f"stopped before it went on; the checkpoint of step {step} stands")
    assert newest_checkpoint(spec.folder).name == f"step-{step:08d}"

"""What the Train pane says of a run: one sentence, what the coach sees, what to press."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from epochal.core.events import (
    BaselineDone,
    CheckpointSaved,
    EpochDone,
    HostStarted,
    Noticed,
    RunEnded,
    StageStarted,
    StepsDone,
)
from epochal.core.settings import Goal, Model, Project
from epochal.journal.record import Record
from epochal.journal.reduce import RunState, reduce_all
from epochal.project.runfile import RunSpec
from epochal.runs.state import RunInfo
from epochal.testing import training_started
from epochal.workbench.views.train import passes, train_view
from epochal.workbench.views.words import figure


NOWHERE = Path("runs") / "0001"
NOW = datetime(2026, 11, 22, 14, 2, tzinfo=UTC)
HOST = HostStarted(host="detached", pid=1, machine="m", device="cpu", survives="outlives this terminal")
TRAINING = training_started(epochs=40, steps_per_epoch=10)
STRONG = BaselineDone(name="strong", title="trees", metrics={"accuracy": 0.9, "rmse": 50.0}, seconds=0.1)


def evaluation(epoch, loss, value):
    return EpochDone(
        step=epoch * 10,
        epoch=float(epoch),
        train_loss=loss,
        validation_loss=loss,
        metrics={},
        value=value,
        best=True,
        seconds=float(epoch),
    )


def seen(*events, family="mlp", metric="accuracy", task="classification", waits="", **training_too):
    """The view of a run that said these events, and in `training_too` more of how it trains."""
    training = replace(TRAINING, metric=metric, task=task, **training_too)
    records = [Record(n, e.kind, 0, "t", e) for n, e in enumerate([HOST, STRONG, training, *events])]
    state = reduce_all(RunState(), records)
    state = replace(state, status="paused", status_note=waits) if waits else state
    spec = RunSpec(
        folder=NOWHERE,
        name=f"0001-{family}",
        project=Project(name="p", goal=Goal(task=task, metric=metric), model=Model(family=family)),
        snapshot_id="s",
        split_id="t",
        created="",
        inputs=(),
        classes=(),
        ledger={},
    )
    info = RunInfo(
        spec=spec,
        status=state.status,
        note="",
        value=state.best_value,
        value_step=state.best_step,
        step=state.step,
        epochs=state.epoch,
        seconds=state.seconds,
        samples_per_second=0.0,
        pid=1,
    )
    return train_view((info,), info.name, state, now=NOW, family=family)


def at_loss(epoch, loss, value, *, best):
    return replace(evaluation(epoch, loss, value), best=best)


def losses(*values):
    return [evaluation(n + 1, loss, 0.8) for n, loss in enumerate(values)]


def test_figures_nobody_could_read_are_told_as_powers_of_ten():
    """A loss that diverges would fill the line with its digits."""
    assert [figure(v) for v in (25_261_299_686_660_283e9, 1_250_000_000.0)] == ["2.53e+25", "1 250 000 000"]


class TestTheCoach:
    def test_warns_when_validation_rises_for_long(self):
        (warning, *_rest) = seen(*losses(1.0, 0.6, 0.5, 0.52, 0.55, 0.6, 0.66, 0.7)).coach

        assert warning.tone == "warning"
        assert "lowest at epoch 3 and has stayed above it since" in warning.text

    def test_takes_no_jump_between_stages_of_gradual_feeding_for_a_rise(self):
        """Of the first rows alone its loss on validation said something else."""
        before = losses(0.5, 0.3, 0.2, 0.19, 0.18, 0.17, 0.16)
        stage = StageStarted(step=70, number=2, of=2, rows=100)
        after = [evaluation(8 + n, 0.9 - 0.02 * n, 0.8) for n in range(8)]

        assert not any("lowest" in f.text for f in seen(*before, stage, *after).coach)

    @pytest.mark.parametrize(
        "values",
        [
            (1.0, 0.6, 0.5, 0.52, 0.55),  # not for long
            (1.0, 0.01, 0.008, 0.009, 0.009, 0.009, 0.009, 0.0095),  # by nothing that matters
        ],
    )
    def test_keeps_quiet_of_what_is_no_trend(self, values):
        assert not any(f.tone == "warning" for f in seen(*losses(*values)).coach)

    def test_says_once_what_every_host_noticed(self):
        empty = Noticed(code="data", text="the validation part is empty", severity="warning")
        told = [f.text for f in seen(empty, Noticed(code="cap", text="another"), empty).coach]

        assert told.count("the validation part is empty") == 1
        assert "another" in told

    @pytest.mark.parametrize("worse", [0.501, 0.7])
    def test_tells_the_lowest_loss_from_the_model_that_is_kept(self, worse):
        told = [at_loss(n + 1, loss, 0.8, best=n == 4) for n, loss in enumerate((1.0, 0.5, *[worse] * 6))]
        view = seen(*told)

        assert view.best.endswith("at epoch 5")
        (told,) = (f.text for f in view.coach if "lowest" in f.text)
        assert "Validation loss was lowest at epoch 2" in told
        assert told.lower().endswith("kept is epoch 5, best by accuracy.")

    def test_says_that_the_best_is_kept_where_loss_and_metric_agree(self):
        told = [at_loss(n + 1, loss, 0.8, best=n == 1) for n, loss in enumerate((1.0, 0.5, *[0.501] * 6))]

        assert any(f.text.endswith("lowest at epoch 2; the best is kept.") for f in seen(*told).coach)

    @pytest.mark.parametrize(
        ("metric", "task", "value", "word"),
        [
            ("accuracy", "classification", 0.95, "better than"),
            ("accuracy", "classification", 0.85, "not as good as"),
            ("accuracy", "classification", 0.9, "level with"),
            ("rmse", "regression", 40.0, "better than"),
            ("rmse", "regression", 60.0, "not as good as"),
        ],
    )
    def test_compares_with_the_strong_baseline_in_the_sense_of_the_metric(self, metric, task, value, word):
        coach = seen(evaluation(1, 0.5, value), metric=metric, task=task).coach

        assert any(f"{word} the strong baseline" in f.text for f in coach)


class TestTheSentence:
    def test_tells_where_it_is_and_when_it_will_be_done(self):
        steps = StepsDone(
            step=100, epoch=10.0, count=100, loss=0.5, loss_min=0.4, loss_max=0.6, learning_rate=0.1,
            samples_per_second=11_800, seconds=10,
        )  # fmt: skip
        view = seen(steps)
        facts = [text for text, _tone in view.facts]

        assert facts[:3] == ["epoch 10 of 40", "step 100", "11 800 rows/s"]
        assert facts[3].startswith("0:30 left (done ")
        assert view.next.startswith("wait 0:30, or s stops it")

    @pytest.mark.parametrize(
        ("loss", "shown"),
        [(0.57436, "0.5744"), (0.57444, "0.5744"), (0.57456, "0.5746"), (58.317, "58.32"), (0.00004, "4.0e-05")],
    )
    def test_shows_a_loss_to_the_place_where_it_still_moves(self, loss, shown):
        assert seen(evaluation(1, loss, 0.9)).validation_loss == shown

    def test_counts_rounds_of_trees(self):
        assert seen(evaluation(7, 0.5, 0.9), family="trees").facts[0][0] == "round 7 of 40"

    def test_has_the_machine_beside_it_for_who_asks(self):
        system = dict(seen().system)

        assert (system["host"], system["machine"]) == ("detached on m, process 1", "cpu")
        assert (system["computes on"], system["rows"]) == ("the CPU, 1 thread", "1 920 train, 270 validation")

    def test_says_how_many_ranks_share_its_batches(self):
        on_gpus = seen(ranks=4, device="cuda:2", threads=2)

        assert dict(on_gpus.system)["computes on"] == "the GPU, 4 ranks, 2 threads each"
        assert ("on the GPU, 4 ranks", "quiet") in on_gpus.facts
        assert ("on the CPU, 2 ranks", "quiet") in seen(ranks=2).facts

    @pytest.mark.parametrize(
        ("state", "words"),
        [
            ("done", "Enter goes to the sealed test set"),
            ("stopped", "Enter tests the best so far"),
            ("diverged", "r starts it again"),
        ],
    )
    def test_ends_in_what_to_press(self, state, words):
        ended = RunEnded(
            state=state, reason="", best_value=math.nan, best_step=0, steps=0, epochs=0.0, seconds=0.0,
            samples_per_second=0.0,
        )  # fmt: skip

        assert words in seen(ended).next


def test_where_a_resume_goes_on_is_told_by_epoch_and_step():
    saved = CheckpointSaved(step=1090, epoch=109.0, folder="checkpoints/1090", sha256="0" * 64, best=True)
    steps = StepsDone(
        step=1234, epoch=123.4, count=100, loss=0.5, loss_min=0.4, loss_max=0.6, learning_rate=0.1,
        samples_per_second=11_800, seconds=10,
    )  # fmt: skip
    ended = RunEnded(
        state="stopped", reason="", best_value=0.9, best_step=0, steps=1234, epochs=123.4, seconds=0.0,
        samples_per_second=0.0,
    )  # fmt: skip

    assert "r goes on from epoch 109, step 1 090" in seen(steps, saved, ended).next


def test_a_run_that_waits_for_room_says_so_and_what_to_do():
    steps = StepsDone(
        step=100, epoch=10.0, count=100, loss=0.5, loss_min=0.4, loss_max=0.6, learning_rate=0.1,
        samples_per_second=11_800, seconds=10,
    )  # fmt: skip
    view = seen(steps, waits="it waits for room on the disk")

    assert (view.status, view.running, view.resumable) == ("paused", True, False)
    assert ("it waits for room on the disk", "warning") in view.facts
    assert view.next.startswith("make room on the disk")


def test_a_pass_is_counted_alike_wherever_it_is_told():
    view = seen(evaluation(30, 0.5, 0.9))

    assert view.facts[0][0] == "epoch 30 of 40"
    assert view.best.endswith("at epoch 30")
    assert [passes(e) for e in (0.0, 0.2, 1.0, 1.01, 1504.0000000001, 1504.2)] == ["1", "1", "1", "2", "1 504", "1 505"]

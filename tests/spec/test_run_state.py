"""What is known of a run: the fold over its records, and the verdict on its host."""

import math
import random

import pytest

from epochal.core.events import (
    BaselineDone,
    CheckpointSaved,
    CommandTaken,
    EpochDone,
    HostStarted,
    Noticed,
    PhaseStarted,
    Resumed,
    RunEnded,
    StepsDone,
)
from epochal.journal.record import Record
from epochal.journal.reduce import MAX_NOTICES, RunState, reduce, reduce_all
from epochal.journal.series import Log, Series
from epochal.runs.identity import Identity
from epochal.runs.memory import kills
from epochal.runs.signs import Sign
from epochal.runs.state import judge
from epochal.runs.survival import Logind
from epochal.runs.survival import judge as judge_survival
from epochal.testing import fold, training_started


HOST = HostStarted(host="detached", pid=1, machine="m", device="cpu", survives="all")
TRAINING = training_started(epochs=4, steps_per_epoch=10)


def steps(step, loss=None):
    loss = 1 / step if loss is None else loss
    return StepsDone(
        step=step,
        epoch=step / 10,
        count=1,
        loss=loss,
        loss_min=loss,
        loss_max=loss,
        learning_rate=0.1,
        samples_per_second=100.0,
        seconds=step / 2,
    )


def epoch(step, value, *, best):
    return EpochDone(
        step=step,
        epoch=step / 10,
        train_loss=1.0,
        validation_loss=2.0,
        metrics={"accuracy": value},
        value=value,
        best=best,
        seconds=step / 2,
    )


class TestFold:
    def test_a_run_without_records_is_ready_to_be_started(self):
        assert RunState().status == "ready"
        assert RunState().seconds_left is None

    def test_a_run_is_running_from_its_first_step(self):
        before = fold(HOST, PhaseStarted(name="preparing"))
        assert (before.status, before.phase) == ("starting", "preparing")

        state = fold(TRAINING, steps(1), state=before)

        assert (state.status, state.step, state.total_steps, state.progress) == ("running", 1, 40, 1 / 40)
        assert state.seconds_left == pytest.approx(0.5 * 39)

    def test_windows_become_rows_and_what_is_missing_becomes_nan(self):
        state = fold(HOST, TRAINING, steps(1), steps(2))

        assert list(state.steps.column("loss")) == [1.0, 0.5]
        assert math.isnan(state.steps.last("grad_norm"))
        assert state.samples_per_second == 100.0

    def test_the_best_is_the_last_evaluation_called_best(self):
        state = fold(HOST, TRAINING, epoch(10, 0.7, best=True), epoch(20, 0.6, best=False))

        assert (state.best_value, state.best_step) == (0.7, 10)
        assert [m["accuracy"] for m in state.metrics] == [0.7, 0.6]

    def test_a_best_that_is_told_late_takes_no_step_back(self):
        late = fold(HOST, TRAINING, steps(10), steps(30), epoch(20, 0.9, best=True))

        assert (late.step, late.epoch, late.best_step) == (30, 3.0, 20)

    def test_a_request_to_stop_shows_at_once(self):
        state = fold(HOST, TRAINING, steps(1), CommandTaken(id="1", verb="stop"))
        assert state.status == "stopping"
        assert fold(steps(2), state=state).status == "stopping"

    def test_a_request_to_save_changes_no_state(self):
        assert fold(HOST, TRAINING, steps(1), CommandTaken(id="1", verb="checkpoint")).status == "running"

    def test_the_end_is_what_the_run_says_it_is(self):
        state = fold(HOST, TRAINING, steps(1), RunEnded(state="diverged", reason="the loss became infinite"))
        assert (state.status, state.status_note) == ("diverged", "the loss became infinite")
        assert state.seconds_left is None

    def test_a_resume_moves_what_lies_beyond_its_checkpoint_into_a_branch(self):
        before = fold(
            HOST,
            TRAINING,
            *[steps(s) for s in range(1, 11)],
            epoch(10, 0.7, best=True),
            CheckpointSaved(step=10, epoch=1.0, folder="c", sha256="0"),
            steps(11, 5.0),
            steps(12, 6.0),
            epoch(12, 0.9, best=True),
        )

        after = fold(HOST, Resumed(from_step=10, folder="c"), TRAINING, steps(11), state=before)

        assert list(after.steps.column("step")) == list(range(1, 12))
        assert list(after.superseded[0].steps.column("loss")) == [5.0, 6.0]
        assert list(after.superseded[0].evaluations.column("value")) == [0.9]
        assert (after.best_value, after.best_step, after.step, after.hosts) == (0.7, 10, 11, 2)
        assert list(before.steps.column("step")) == list(range(1, 13))

    def test_a_resume_without_a_checkpoint_starts_an_empty_curve(self):
        before = fold(HOST, TRAINING, steps(1), epoch(1, 0.5, best=True))

        after = fold(HOST, Resumed(from_step=0, folder=""), state=before)

        assert (len(after.steps), after.step, after.best_value, after.seconds) == (0, 0, None, 0.0)
        assert after.status == "starting"

    def test_steps_that_begin_anew_without_a_word_never_mix_with_the_old_ones(self):
        before = fold(HOST, TRAINING, *[steps(s) for s in range(1, 6)])

        after = fold(HOST, TRAINING, steps(1), steps(2), state=before)

        assert list(after.steps.column("step")) == [1, 2]
        assert list(after.superseded[0].steps.column("step")) == [1, 2, 3, 4, 5]

    def test_a_new_host_takes_back_the_end_and_old_requests(self):
        before = fold(HOST, CommandTaken(id="1", verb="stop"), RunEnded(state="stopped", reason="asked"))
        after = fold(HOST, state=before)
        assert (after.status, after.ended, after.commands) == ("starting", None, ())

    def test_missing_records_and_damaged_lines_are_counted(self):
        state = reduce_all(
            RunState(), [Record(0, "steps", 0, "", steps(1)), Record(4, "steps", 0, "", steps(2))], damaged=2
        )
        assert (state.records, state.damaged) == (2, 5)

    def test_an_unknown_kind_of_record_is_counted_and_otherwise_left_alone(self):
        state = reduce(RunState(), Record(0, "of-the-future", 0, "t0", None))
        assert (state.records, state.status, state.started_at) == (1, "ready", "t0")

    def test_a_run_that_warns_without_end_fills_no_memory(self):
        state = fold(*[Noticed(code="n", text=str(i)) for i in range(MAX_NOTICES + 50)])
        assert len(state.notices) == MAX_NOTICES
        assert state.notices[-1].text == str(MAX_NOTICES + 49)

    def test_baselines_are_known_by_name(self):
        baseline = BaselineDone(name="trivial", title="majority", metrics={"accuracy": 0.4}, seconds=0.1)
        assert fold(HOST, baseline).baselines == {"trivial": baseline}

    def test_how_the_records_come_in_pieces_changes_nothing(self):
        events = [
            HOST,
            TRAINING,
            *[steps(s) for s in range(1, 30)],
            epoch(29, 0.5, best=True),
            Resumed(from_step=20, folder="c"),
        ]
        events += [steps(s) for s in range(21, 40)]
        whole = fold(*events)
        rng = random.Random(0)
        state, at = RunState(), 0
        while at < len(events):
            size = rng.randint(1, 7)
            state = fold(*events[at : at + size], state=state)
            at += size

        for name in ("step", "status", "best_value", "records", "damaged", "epoch", "seconds"):
            assert getattr(state, name) == getattr(whole, name), name
        assert state.steps.column("loss") == whole.steps.column("loss")
        assert state.superseded[0].steps.column("step") == whole.superseded[0].steps.column("step")


class TestSharedColumns:
    def test_a_longer_view_leaves_the_shorter_ones_as_they_were(self):
        first = Series(("x",)).extended([(1.0,)])
        second = first.extended([(2.0,)])
        other = first.extended([(3.0,)])

        assert [list(s.column("x")) for s in (first, second, other)] == [[1.0], [1.0, 2.0], [1.0, 3.0]]

    def test_a_cut_view_can_be_extended_without_touching_the_whole(self):
        whole = Series(("x",)).extended([(1.0,), (2.0,)])
        cut = whole.first(1).extended([(9.0,)])

        assert list(whole.column("x")) == [1.0, 2.0]
        assert list(cut.column("x", 1)) == [9.0]

    def test_logs_likewise(self):
        first: Log[str] = Log(["a"])
        second = first.extended(["b"])
        other = first.extended(["c"])

        assert [list(log) for log in (first, second, other)] == [["a"], ["a", "b"], ["a", "c"]]
        assert (second[-1], second[0]) == ("b", "a")
        with pytest.raises(IndexError):
            first[1]


def sign(role="host", **how):
    identity = Identity(pid=77, ticks=1, boot="b", machine="id gpu07", namespace="n")
    return Sign(identity=identity, role=role, **{"token": "t", "monotonic": 1000.0, "wall": 5000.0, **how})


def verdict(said="running", given=None, *, alive=True, halted=False, monotonic=1001.0, wall=5001.0):
    return judge(said, "", given, alive=alive, halted=halted, monotonic=monotonic, wall=wall)


class TestSeams:
    def test_stand_where_a_run_went_on_although_it_could_not_exactly(self):
        before = fold(HOST, TRAINING, *(steps(n) for n in range(1, 13)))

        after = fold(HOST, Resumed(from_step=10, folder="c", seam="torch was 1, now 2"), TRAINING, state=before)

        assert (before.seams, after.seams) == ((), (10,))
        assert fold(HOST, Resumed(from_step=11, folder="c"), state=after).seams == (10,)

    def test_go_when_the_run_goes_on_from_before_them(self):
        seamed = fold(HOST, TRAINING, steps(1), Resumed(from_step=10, folder="c", seam="torch"), steps(11))

        assert fold(HOST, Resumed(from_step=5, folder="c"), state=seamed).seams == ()
        assert fold(HOST, Resumed(from_step=10, folder="c"), state=seamed).seams == ()
        assert fold(HOST, Resumed(from_step=0, folder=""), state=seamed).seams == ()


class TestCheckpoints:
    def test_that_a_resume_made_void_are_none(self):
        saved = [CheckpointSaved(step=n, epoch=n / 10, folder=f"c{n}", sha256="0") for n in (10, 20, 30)]
        state = fold(HOST, TRAINING, *saved, Resumed(from_step=20, folder="c20"))

        assert [c.step for c in state.checkpoints] == [10, 20]
        assert fold(Resumed(from_step=0, folder=""), state=state).checkpoints == ()

    def test_that_are_not_healthy_are_not_gone_on_from_while_others_are_there(self):
        good = CheckpointSaved(step=10, epoch=1.0, folder="c", sha256="0")
        bad = CheckpointSaved(step=20, epoch=2.0, folder="d", sha256="0", healthy=False)

        assert fold(HOST, good, bad).goes_on_from == good
        assert fold(HOST, bad).goes_on_from == bad
        assert fold(HOST).goes_on_from is None


def test_the_kernels_count_is_read_from_either_kind_of_file(tmp_path):
    (tmp_path / "two").write_text("low 0\nhigh 3\noom 4\noom_kill 2\noom_group_kill 0\n")
    (tmp_path / "one").write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 7\n")
    (tmp_path / "none").write_text("oom_kill\n")

    assert [kills(str(tmp_path / name)) for name in ("two", "one", "none", "absent")] == [2, 7, None, None]
    assert kills("") is None


class TestVerdict:
    @pytest.mark.parametrize("said", ["starting", "running", "stopping"])
    def test_a_living_host_is_believed(self, said):
        assert verdict(said, sign()) == (said, "")

    @pytest.mark.parametrize("said", ["done", "stopped", "diverged", "failed", "paused"])
    @pytest.mark.parametrize("alive", [True, False, None])
    def test_an_end_that_was_written_stands_whatever_became_of_the_host(self, said, alive):
        assert verdict(said, sign(), alive=alive)[0] == said

    def test_a_dead_host_without_an_end_was_interrupted_and_never_done(self):
        assert verdict(given=sign(), alive=False) == ("interrupted", "its process ended without a word")

    def test_a_host_that_a_person_had_ended_did_not_die_without_a_word(self):
        assert verdict(given=sign(killed=True), alive=False) == ("interrupted", "its process was ended as asked")

    @pytest.mark.parametrize(("kills", "words"), [(3, "probably out of memory"), (2, "without a word"), (None, "word")])
    def test_a_dead_host_whose_group_lost_a_process_to_the_kernel_was_killed_for_memory(self, kills, words):
        found = judge(
            "running", "", sign(memory="/x", memory_kills=2), alive=False, halted=False, monotonic=1.0, wall=1.0,
            memory_kills=kills,
        )  # fmt: skip
        assert found[0] == "interrupted"
        assert words in found[1]

    def test_a_run_nobody_ever_had_is_ready(self):
        assert verdict("ready", None, alive=False)[0] == "ready"
        assert verdict("ready", sign())[0] == "starting"

    def test_a_run_whose_host_left_no_sign_was_interrupted(self):
        assert verdict("starting", None, alive=False)[0] == "interrupted"

    def test_a_living_starter_means_starting_even_over_an_old_end(self):
        assert verdict("stopped", sign("starter"))[0] == "starting"

    def test_a_dead_starter_started_nothing(self):
        assert verdict("starting", sign("starter"), alive=False) == ("interrupted", "it was never started")
        assert verdict("stopped", sign("starter"), alive=False)[0] == "stopped"

    def test_a_starter_on_another_machine_is_believed_as_long_as_a_host_there(self):
        assert verdict("ready", sign("starter"), alive=None, wall=5200.0)[0] == "starting"
        status, note = verdict("ready", sign("starter"), alive=None, wall=5400.0)
        assert status == "interrupted"
        assert "gpu07" in note
        assert verdict("stopped", sign("starter"), alive=None, wall=5400.0)[0] == "stopped"

    def test_a_run_that_waits_for_room_is_paused_however_long_it_says_nothing(self):
        waiting = sign(phase="training", quiet_seconds=900, waits="it waits for room on the disk")

        assert verdict(given=waiting) == ("paused", "it waits for room on the disk")
        assert verdict(given=waiting, alive=None) == ("paused", "it waits for room on the disk; on gpu07")
        assert verdict(given=waiting, alive=False)[0] == "interrupted"

    def test_a_halted_process_is_stuck_and_the_remedy_named(self):
        status, note = verdict(given=sign(), halted=True)
        assert status == "stuck"
        assert "kill -CONT 77" in note

    def test_a_living_process_without_signs_is_stuck_not_dead(self):
        assert verdict(given=sign(), monotonic=1031.0)[0] == "stuck"
        assert verdict(given=sign(), monotonic=1029.0)[0] == "running"

    def test_training_that_says_nothing_for_long_is_stuck(self):
        assert verdict(given=sign(phase="training", quiet_seconds=61))[0] == "stuck"
        assert verdict(given=sign(phase="training", quiet_seconds=50))[0] == "running"

    def test_slow_steps_are_given_twenty_times_their_usual_time(self):
        assert verdict(given=sign(phase="training", quiet_seconds=150, usual_seconds=10))[0] == "running"
        assert verdict(given=sign(phase="training", quiet_seconds=210, usual_seconds=10))[0] == "stuck"

    def test_reading_and_baselines_may_take_their_time(self):
        assert verdict(given=sign(phase="baselines", quiet_seconds=500))[0] == "running"
        assert verdict(given=sign(phase="baselines", quiet_seconds=700))[0] == "stuck"

    @pytest.mark.parametrize("wall", [0.0, 5001.0, 9e9])
    def test_a_jump_of_the_wall_clock_changes_no_verdict(self, wall):
        assert verdict(given=sign(), wall=wall)[0] == "running"

    def test_a_host_on_another_machine_is_judged_by_its_last_sign_and_named(self):
        assert verdict(given=sign(), alive=None, wall=5040.0) == ("running", "on gpu07, last sign of life 40 s ago")
        status, note = verdict(given=sign(), alive=None, wall=5400.0)
        assert status == "interrupted"
        assert "gpu07" in note


class TestSurvival:
    def test_without_a_login_manager_a_run_outlives_the_connection(self):
        found = judge_survival(None)
        assert (found.safe, found.prefix) == (True, ())

    def test_a_login_manager_that_does_not_kill_needs_nothing_more(self):
        assert judge_survival(Logind(kills=False, lingers=False, can_scope=True)).prefix == ()

    def test_one_that_kills_is_met_with_a_scope_where_processes_may_linger(self):
        found = judge_survival(Logind(kills=True, lingers=True, can_scope=True))
        assert found.safe
        assert found.prefix[:3] == ("systemd-run", "--user", "--scope")

    def test_a_scope_without_linger_is_never_used_and_the_remedy_named(self):
        found = judge_survival(Logind(kills=True, lingers=False, can_scope=True))
        assert (found.safe, found.prefix) == (False, ())
        assert "loginctl enable-linger" in found.words

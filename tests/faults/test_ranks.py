"""Runs of two ranks: stopped and resumed, a rank killed, their host killed, their folder changed; real processes, gloo."""

import hashlib
import os
import shlex
import signal
import subprocess
import time
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from kill_runs import own_model, write_rows
from safetensors.torch import load_file

import shared
from epochal.core.errors import RunError
from epochal.core.settings import Columns, Goal, Model, Project, Source, Train, with_setting
from epochal.project.checkpoints import checkpoints_of
from epochal.project.code import read_code
from epochal.project.runfile import write_run
from epochal.project.trust import trust
from epochal.runs.control import kill_host, send
from epochal.runs.follow import Follower, log_lines
from epochal.runs.gang import launch_lines
from epochal.runs.identity import kill
from epochal.runs.launch import make_run, start
from epochal.runs.resume import resume
from epochal.runs.signs import read_sign
from epochal.runs.state import run_info
from epochal.testing import tiny_project
from epochal.workbench.verifying import verify


PATIENCE_SECONDS = 300.0
PROJECT = Project(
    name="p",
    goal=Goal(task="classification", metric="log_loss"),
    sources=(Source(name="a", uri="a.csv"),),
    columns=Columns(target="y"),
    model=Model(family="mlp", options={"width": 8, "dropout": 0.3}),
    train=Train(
        epochs=100,
        batch_size=33,
        patience=1_000_000,
        first_checkpoint="0.05 s",
        checkpoint_every="0.2 s",
        devices=2,
        host="torchrun",
    ),
)
until = partial(shared.until, seconds=PATIENCE_SECONDS)

BUILT = {"snapshot_id": "s", "split_id": "t", "inputs": ("a", "b"), "classes": ("down", "up")}


def state(spec):
    return Follower(spec.folder).read_all()


def status(spec, *wanted):
    """The run's state once it is one of those wanted."""

    def found():
        now = state(spec)
        if now.status not in wanted and now.status in {"failed", "diverged"}:
            pytest.fail(f"{now.status_note}\n" + "\n".join(log_lines(spec.folder, 40)))
        return now.status in wanted and now

    return until(found)


def ranks_of(spec):
    """The process numbers of the living ranks of a run, by rank."""
    found = {}
    for process in Path("/proc").iterdir():
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
            if b"epochal.rank_host" in words and os.fsencode(spec.folder) in words:
                told = dict(e.partition(b"=")[::2] for e in (process / "environ").read_bytes().split(b"\0"))
                found[int(told[b"RANK"])] = int(process.name)
        except (OSError, KeyError):
            continue
    return found


def stepping(spec):
    """Wait until the run has taken some steps and written a checkpoint."""
    until(lambda: (now := state(spec)).ended or (now.checkpoints and now.step > 60 and now))
    assert not state(spec).ended, state(spec).status_note


def outcome(spec):
    """What a run ends as: every file of its model's weights and of its last checkpoint, but for what counts time."""
    last = checkpoints_of(spec.folder)[-1].folder
    kept = [spec.folder / "bundle" / "model.safetensors", *sorted(last.glob("*.safetensors"))]
    return {"/".join(p.parts[-2:]): hashlib.sha256(p.read_bytes()).hexdigest() for p in kept}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A project with its rows."""
    made = tmp_path_factory.mktemp("project")
    write_rows(made)
    return made


@pytest.fixture(scope="module")
def golden(folder):
    """What a run of two ranks comes to when nobody disturbs it."""
    spec = make_run(folder, PROJECT, BUILT)
    start(spec)
    status(spec, "done")
    return outcome(spec)


@contextmanager
def made(folder, project):
    """A run that is not started; its host, and with it its ranks, is ended afterwards whatever happened."""
    spec = make_run(folder, project, BUILT)
    yield spec
    sign = read_sign(spec.folder)
    if sign is not None and sign.identity.pid != os.getpid():
        kill(sign.identity, signal.SIGKILL)


@pytest.fixture
def spec(folder):
    """A run of two ranks that is not started."""
    with made(folder, PROJECT) as spec:
        yield spec


@pytest.fixture
def endless(folder):
    """One that takes longer than any test."""
    with made(folder, replace(PROJECT, train=replace(PROJECT.train, epochs=100_000))) as spec:
        yield spec


def test_two_ranks_stopped_and_resumed_end_as_if_they_had_not_been(spec, golden):
    """Every tensor of model, moments and each rank's random state is the uninterrupted run's, to the bit."""
    start(spec)
    stepping(spec)
    send(spec.folder, "stop")
    stopped = status(spec, "stopped")
    kept = checkpoints_of(spec.folder)[-1]
    assert kept.step == stopped.step
    assert (kept.folder / "random.safetensors").read_bytes() != (kept.folder / "random-0001.safetensors").read_bytes()
    until(lambda: not ranks_of(spec))

    resume(spec.folder)
    ended = status(spec, "done")
    assert ended.resumes[0].from_step == stopped.step
    assert outcome(spec) == golden
    assert (ended.training.ranks, ended.host.host) == (2, "torchrun")
    assert run_info(spec.folder).as_result()["world_size"] == run_info(spec.folder).as_row()["world_size"] == 2


def test_two_ranks_of_a_model_of_ones_own_stopped_and_resumed_end_as_if_they_had_not_been(folder):
    """Its buffers are the first rank's in every step, and what each rank draws is saved, whatever it draws from."""
    train = replace(PROJECT.train, epochs=60, ema=0.9, accumulate=2)
    project, outcomes = replace(PROJECT, model=own_model(folder), train=train), []
    for stops in (0, 2):
        with made(folder, project) as spec:
            start(spec)
            for last in range(stops):
                until(lambda step=60 * (last + 1): state(spec).step > step)
                send(spec.folder, "stop")
                status(spec, "stopped")
                until(lambda: not ranks_of(spec))
                resume(spec.folder)
            ended = status(spec, "done")
            assert (ended.training.ranks, len(ended.resumes)) == (2, stops)
            outcomes.append(outcome(spec))

    assert outcomes[1] == outcomes[0]
    assert {"python", "numpy"} < load_file(checkpoints_of(spec.folder)[-1].folder / "random-0001.safetensors").keys()


def test_a_rank_that_is_killed_ends_the_others_within_30_s_and_the_run_says_which(spec, golden):
    """Its host stays to say it; the last checkpoint is whole, and a resume ends as if nothing had happened."""
    start(spec)
    stepping(spec)
    lost = ranks_of(spec)[1]
    os.kill(lost, signal.SIGKILL)
    killed_at = time.monotonic()
    failed = status(spec, "failed")

    assert time.monotonic() - killed_at < 30
    assert not ranks_of(spec)
    assert failed.status_note.startswith(f"rank 1 (process {lost}) was killed by signal 9 (SIGKILL)")
    assert failed.ended.error["code"] == "rank-died"

    resume(spec.folder)
    status(spec, "done")
    assert outcome(spec) == golden


def test_ranks_never_outlive_their_host(endless):
    """Killed without a word, it leaves nobody behind who would go on writing."""
    start(endless)
    stepping(endless)
    assert len(ranks_of(endless)) == 2
    os.kill(read_sign(endless.folder).identity.pid, signal.SIGKILL)

    until(lambda: not ranks_of(endless))
    assert status(endless, "interrupted").ended is None


def test_a_rank_that_is_halted_and_can_do_nothing_ends_with_its_host(endless):
    """As one that hangs in foreign code: the kernel ends it, with the launcher that started it."""
    start(endless)
    stepping(endless)
    os.kill(ranks_of(endless)[1], signal.SIGSTOP)
    assert kill_host(endless.folder)

    until(lambda: not ranks_of(endless))


def test_a_stop_at_once_ends_every_rank_and_writes_nothing_more(endless):
    """Also one that is halted and can do nothing by itself."""
    start(endless)
    stepping(endless)
    os.kill(ranks_of(endless)[1], signal.SIGSTOP)
    send(endless.folder, "stop-now")

    assert status(endless, "stopped").status_note == "stopped at once, without a checkpoint"
    until(lambda: not ranks_of(endless))


def test_what_is_wrong_is_told_though_a_stop_was_asked_for_meanwhile(folder):
    """Or a person would resume it, and meet it only then."""
    (folder / "wrong.py").write_text("import time\n\ntime.sleep(3)\nraise ValueError('no table of words')\n")
    trust(folder, read_code(folder))
    try:
        with made(folder, replace(PROJECT, model=Model(family="own", options={"module": "wrong.py:Net"}))) as spec:
            start(spec)
            until(lambda: "reading wrong.py" in (state(spec).phase_detail or ""))
            send(spec.folder, "stop")
            until(lambda: state(spec).ended)
            failed = state(spec)
    finally:
        (folder / "wrong.py").unlink()

    assert (failed.status, failed.ended.error["code"]) == ("failed", "own-model")
    assert "no table of words" in failed.status_note


def test_another_number_of_ranks_is_no_exact_resume(endless):
    """Each rank's part of a batch, and what it drops, would be another."""
    start(endless)
    stepping(endless)
    send(endless.folder, "stop")
    status(endless, "stopped")
    here = run_info(endless.folder).spec
    write_run(replace(here, project=replace(here.project, train=replace(here.project.train, devices=3))))

    with pytest.raises(RunError, match="world size was 2, now 3") as refused:
        resume(endless.folder)
    assert refused.value.error_code == "resume-differs"


def test_the_lines_for_two_nodes_start_one_run_on_both(folder, golden, tmp_path):
    """Started by hand, as they are printed: one rank on each node, which is what two on one are."""
    alike = replace(PROJECT, train=replace(PROJECT.train, devices=1, host="detached"))
    spec = make_run(folder, alike, BUILT, nodes=2)
    with pytest.raises(RunError, match="2 nodes"):
        start(spec)
    port = 20_000 + os.getpid() % 10_000
    lines = [line for _name, line in launch_lines(spec, f"127.0.0.1:{port}")]
    environment = {**os.environ, "GLOO_SOCKET_IFNAME": "lo"}
    with ExitStack() as stack:
        nodes = []
        for number, line in enumerate(lines):
            log = stack.enter_context((tmp_path / f"{number}.log").open("w"))
            command = shlex.split(line)
            node = subprocess.Popen(
                command, env=environment, cwd=tmp_path, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
            stack.callback(node.wait)
            stack.callback(node.kill)
            nodes.append(node)
        codes = [node.wait(PATIENCE_SECONDS) for node in nodes]
    assert codes == [0, 0], [(tmp_path / f"{n}.log").read_text()[-2000:] for n in range(2)]
    assert status(spec, "done").training.ranks == 2
    assert outcome(spec) == golden


@pytest.mark.parametrize(
    ("changes", "nodes", "words"),
    [
        ({"model": Model(family="trees")}, 1, "trees computes on one device and 2 were asked for"),
        ({"train": replace(PROJECT.train, host="thread")}, 1, "the thread host is one process"),
        ({"train": replace(PROJECT.train, devices="auto")}, 2, "how many ranks each node has must be said"),
    ],
)
def test_what_cannot_be_shared_is_refused_before_a_folder_is_made(tmp_path, changes, nodes, words):
    """With the reason, and with nothing to clean up."""
    with pytest.raises(RunError, match=words):
        make_run(tmp_path, replace(PROJECT, **changes), BUILT, nodes=nodes)
    assert not (tmp_path / "runs").exists()


def test_verifying_says_that_it_computes_in_one_process(tmp_path):
    """Else it would verify something else than was asked."""
    file = tiny_project(tmp_path, family="mlp")

    with pytest.raises(RunError, match="computes in one process, and 2 devices were asked for"):
        verify(None, file, tell=print, adjust=lambda project: with_setting(project, "train.devices", 2))

"""What a process may still take, as limits, control groups and the machine say it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from epochal.core.errors import SettingsError
from epochal.core.fields import size_bytes
from epochal.core.settings import parse_project
from epochal.train.allowed import memory_allowed, peak_bytes


MB = 1 << 20


@pytest.fixture
def machine(tmp_path):
    """A machine with so many MB available and a process in these control groups."""

    def make(available, groups=""):
        (tmp_path / "proc" / "self").mkdir(parents=True)
        (tmp_path / "proc" / "meminfo").write_text(f"MemTotal: 99999999 kB\nMemAvailable: {available * 1024} kB\n")
        (tmp_path / "proc" / "self" / "status").write_text("Name:\tpython\nVmSize:\t  1000 kB\n")
        (tmp_path / "proc" / "self" / "cgroup").write_text(groups)
        return tmp_path / "proc", tmp_path / "groups"

    return make


def write_group(folder: Path, **files: str) -> None:
    """A control group's files; an underscore in a name stands for a dot."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("_", ".", 1)).write_text(text)


def test_the_most_that_was_held_is_this_process_s_own_however_large_the_one_that_started_it():
    """A child inherits its parent's peak where the system counts resources."""
    held = np.ones(40 << 20)  # 320 MB
    told = subprocess.run(
        [sys.executable, "-c", "from epochal.train.allowed import peak_bytes; print(peak_bytes())"],
        check=True,
        capture_output=True,
        text=True,
    )

    assert peak_bytes() > held.nbytes > int(told.stdout) > 10 * MB


class TestWhatMayBeTaken:
    def test_is_what_the_machine_has_available_where_nothing_limits_it(self, machine):
        assert memory_allowed(*machine(300)) == 300 * MB

    def test_is_what_the_group_leaves_files_that_can_be_read_again_not_counted(self, machine):
        proc, groups = machine(300, "0::/run\n")
        write_group(
            groups / "run",
            memory_max=f"{200 * MB}\n",
            memory_current=f"{150 * MB}\n",
            memory_stat=f"anon 1\ninactive_file {30 * MB}\n",
        )

        assert memory_allowed(proc, groups) == 80 * MB

    def test_is_the_least_that_a_group_above_leaves(self, machine):
        proc, groups = machine(300, "0::/all/run\n")
        write_group(groups / "all" / "run", memory_max="max\n", memory_current="1\n")
        write_group(groups / "all", memory_max=f"{100 * MB}\n", memory_current=f"{60 * MB}\n")

        assert memory_allowed(proc, groups) == 40 * MB

    def test_is_found_in_a_container_that_sees_only_its_own_group(self, machine):
        proc, groups = machine(300, "0::/outside/only\n")
        write_group(groups, memory_max=f"{70 * MB}\n", memory_current=f"{20 * MB}\n")

        assert memory_allowed(proc, groups) == 50 * MB

    def test_is_found_in_groups_of_the_first_version(self, machine):
        proc, groups = machine(300, "4:cpu:/x\n3:memory:/run\n")
        folder = groups / "memory" / "run"
        write_group(folder, memory_limit_in_bytes=f"{90 * MB}\n", memory_usage_in_bytes=f"{50 * MB}\n")

        assert memory_allowed(proc, groups) == 40 * MB

    def test_is_nothing_where_more_is_taken_than_the_limit(self, machine):
        proc, groups = machine(300, "0::/\n")
        write_group(groups, memory_max=f"{10 * MB}\n", memory_current=f"{20 * MB}\n")

        assert memory_allowed(proc, groups) == 0


class TestTheSettingMemory:
    @pytest.mark.parametrize(
        ("text", "found"), [("500 MB", 500_000_000), ("4 GB", 4 * 10**9), ("1.5gb", 1_500_000_000)]
    )
    def test_is_a_size_as_people_write_it(self, text, found):
        assert size_bytes(text) == found
        assert parse_project({"name": "x", "train": {"memory": text}}).train.memory == text

    @pytest.mark.parametrize("text", ["0 GB", "4", "much", "4 apples", "-1 GB"])
    def test_is_refused_where_it_is_none(self, text):
        with pytest.raises(SettingsError, match="memory"):
            parse_project({"name": "x", "train": {"memory": text}})

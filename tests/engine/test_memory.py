"""What an engine takes for free memory: the machine's, less than a container's limit leaves; what it takes of it."""

import os
from pathlib import Path

import pytest
import torch

import model_engine
from whisperbatch.engine.device import memory
from whisperbatch.engine.device.runner import Runner
from whisperbatch.engine.model.tokenizer import WhisperTokenizer
from whisperbatch.engine.scheduling.request import N_FRAMES, Window
from whisperbatch.options import DecodeOptions

GIB = 2**30
MEMINFO = "MemTotal:  16777216 kB\nMemFree:  524288 kB\nMemAvailable: {kib} kB\nHugePages_Total:  0\n"


def machine(root: Path, available: int, groups: str = "", **files: str) -> None:
    """A machine's files, the paths of a control group's with ``__`` for ``/``."""
    told = {"proc/meminfo": MEMINFO.format(kib=available // 1024), "proc/self/cgroup": groups}
    for name, text in (
        told | {f"sys/fs/cgroup/{name.replace('__', '/')}": text for name, text in files.items()}
    ).items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(memory, "_ROOT", tmp_path)
    return tmp_path


def test_the_cache_of_files_counts_as_free(root: Path):
    machine(root, 8 * GIB)
    assert memory.free_bytes(torch.device("cpu")) == 4 * GIB


def test_a_containers_limit_is_kept_and_its_cache_of_files_gives_way(root: Path):
    files = {"memory.max": f"{4 * GIB}\n", "memory.current": f"{3 * GIB}\n"}
    stat = f"anon 1\ninactive_file {GIB}\n"
    machine(root, 64 * GIB, "0::/\n", **files, **{"memory.stat": stat})
    assert memory.free_bytes(torch.device("cpu")) == GIB  # half of 4 - 3 + 1


def test_the_tightest_of_nested_groups_holds(root: Path):
    machine(
        root,
        64 * GIB,
        "0::/jobs/one\n",
        **{
            "jobs__one__memory.max": "max\n",
            "jobs__one__memory.current": "5\n",
            "jobs__memory.max": f"{6 * GIB}\n",
            "jobs__memory.current": f"{2 * GIB}\n",
            "jobs__memory.stat": "anon 7\n",
        },
    )
    assert memory.free_bytes(torch.device("cpu")) == 2 * GIB


def test_version_one_of_control_groups(root: Path):
    machine(
        root,
        64 * GIB,
        "5:cpu,cpuacct:/other\n4:memory:/docker/1f2e\n",  # the host's path; the container sees its group as the top
        **{
            "memory__memory.limit_in_bytes": f"{2 * GIB}\n",
            "memory__memory.usage_in_bytes": f"{GIB}\n",
            "memory__memory.stat": "inactive_file 0\n",
        },
    )
    assert memory.free_bytes(torch.device("cpu")) == GIB / 2


def test_what_is_used_up_leaves_nothing(root: Path):
    machine(root, 64 * GIB, "0::/\n", **{"memory.max": "100\n", "memory.current": "300\n", "memory.stat": "anon 1\n"})
    assert memory.free_bytes(torch.device("cpu")) == 0.0


def test_a_system_that_tells_nothing_is_asked_otherwise(root: Path):
    known = memory.free_bytes(torch.device("cpu"))
    assert known is None or known > 0


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="resident memory is read from Linux's /proc")
def test_slots_that_nothing_sits_in_take_no_memory():
    """A run on one short file must not pay for the slots that a folder would fill."""
    loaded, options = model_engine.loaded(), DecodeOptions(beam_size=5, temperatures=(0.0,))
    runner = Runner(loaded, WhisperTokenizer(loaded), options, 1)
    n_slots = 64
    before = resident_bytes()
    runner.resize(n_slots)
    empty = resident_bytes() - before
    lane = runner.batches[0]
    windows = [Window(None, 0, N_FRAMES) for _ in range(n_slots)]  # type: ignore[arg-type]
    audio = torch.ones(1, loaded.config["max_source_positions"], loaded.config["d_model"])
    with torch.inference_mode():
        for window in windows[:4]:
            lane.add([window], audio)
        few = resident_bytes() - before
        for window in windows[4:]:
            lane.add([window], audio)
    full = resident_bytes() - before
    assert full > n_slots * runner.bytes_per_slot / 8  # the keys and values of what is heard, if not of what is said
    assert empty < full / 8
    assert few < full / 4
    runner.close()

"""The Ray backend against a real Ray: the same outputs, actors and nodes that die and join, missing folders."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pools import contents, events, fill, names_of, start, talk, wait_until
from ray_runs import DRIVER, start_on_ray
from whisperbatch.backends import ray_workers
from whisperbatch.options import EngineOptions, RunOptions

ray = pytest.importorskip("ray", reason="needs the extra whisperbatch[ray]")
pytestmark = [pytest.mark.ray, pytest.mark.filterwarnings("ignore")]


def end_of(process: subprocess.Popen[bytes]) -> tuple[int, str]:
    _, told = process.communicate(timeout=180)
    return process.returncode, told.decode()


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What a local run writes."""
    folder = tmp_path_factory.mktemp("local") / "audio"
    fill(folder, 60)
    code, told = end_of(start(folder))
    assert code == 0, told
    return contents(folder)


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    """A cluster of two nodes of one core each, in processes of their own; the actors' engine takes 0.3 s a clip."""
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("STEP_S", "0.3")
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    made.nodes = [made.add_node(num_cpus=1) for _ in range(2)]
    made.wait_for_nodes()
    yield made
    made.shutdown()


def actor_pids() -> list[int]:
    """The processes of actors that live."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            if (place / "cmdline").read_bytes().startswith(b"ray::_Actor"):
                found.append(int(place.name))
        except OSError:
            continue
    return found


def assert_done_once(folder: Path, expected: dict[str, bytes], names: list[str]) -> None:
    assert contents(folder) == expected
    assert names_of(events(folder), "done") == names
    wait_until(lambda: actor_pids() == [])


def test_a_cluster_of_one_gives_what_a_local_run_gives(tmp_path: Path, expected: dict[str, bytes]):
    names = fill(folder := tmp_path / "audio", 60)
    code, told = end_of(start_on_ray(folder))
    assert code == 0, told
    assert_done_once(folder, expected, names)
    assert told.splitlines()[-1].startswith("60 done; ")


def test_actors_find_the_speakers_that_a_local_run_finds(tmp_path: Path):
    for name, run in (("one", start), ("two", start_on_ray)):
        talk(tmp_path / name / "audio", 4)
        code, told = end_of(run(tmp_path / name / "audio", "--speakers", "--format", "rttm"))
        assert code == 0, told
    found = contents(tmp_path / "two" / "audio")
    assert found == contents(tmp_path / "one" / "audio")
    assert found["000.rttm"].count(b"\n") == 2


def test_actors_that_are_killed_are_replaced(tmp_path: Path, expected: dict[str, bytes]):
    names = fill(folder := tmp_path / "audio", 60)
    process = start_on_ray(folder, step_s=0.1)
    for n_done in (3, 40):  # as with processes
        wait_until(lambda n_done=n_done: len(names_of(events(folder), "done")) >= n_done)
        os.kill(actor_pids()[0], signal.SIGKILL)
    code, told = end_of(process)
    assert code == 0, told
    assert_done_once(folder, expected, names)


def test_a_file_that_kills_two_actors_is_failed(tmp_path: Path):
    names = fill(folder := tmp_path / "audio", 8, poison=3)
    code, told = end_of(start_on_ray(folder))
    assert code == 1, told
    assert "003.wav: the process that transcribed it died (" in told
    assert names_of(events(folder), "done") == [name for name in names if name != "003.wav"]


def test_nodes_that_go_and_one_that_joins_in_the_middle(tmp_path: Path, expected: dict[str, bytes], cluster: object):
    """In the end there is no node left but the one that joined."""
    names = fill(folder := tmp_path / "audio", 60)
    process = start_on_ray(folder, address=cluster.address, actors=None)
    wait_until(lambda: len(names_of(events(folder), "done")) >= 3)
    cluster.remove_node(cluster.nodes[0], allow_graceful=False)
    # what the first one had is done long before: a file that two have is given up
    wait_until(lambda: len(names_of(events(folder), "done")) >= 40)
    cluster.remove_node(cluster.nodes[1], allow_graceful=False)
    cluster.add_node(num_cpus=1)
    code, told = end_of(process)
    assert code == 0, told
    assert_done_once(folder, expected, names)


def test_a_cluster_that_does_not_answer_for_a_while_grows_afterwards(monkeypatch: pytest.MonkeyPatch):
    answers = iter([ConnectionError("gone"), RuntimeError("shut down"), [{"CPU": 2.0}, {"CPU": 2.0}, {"GPU": 1.0}]])

    def nodes() -> list[dict[str, float]]:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        pool._over.set()
        return answer

    monkeypatch.setattr(ray_workers, "_nodes", nodes)
    monkeypatch.setattr(ray_workers, "GROWTH_S", 0.001)
    pool = ray_workers.RayPool(RunOptions(engine=EngineOptions(device="cpu")), ray_workers.folder_checking_worker)
    pool._grow()
    assert pool._names == ["actor 1", "actor 2"]


def test_a_node_of_gpus_alone_has_an_actor_for_each():
    plan = ray_workers._plan_of(RunOptions(), [{"GPU": 2.0}, {"CPU": 8.0, "GPU": 1.0}])
    assert (plan.n_actors, plan.n_cpus, plan.n_gpus) == (3, 1.0, 1)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_drains_the_cluster(tmp_path: Path, number: signal.Signals):
    fill(folder := tmp_path / "audio", 60)
    process = start_on_ray(folder, step_s=0.1)
    wait_until(lambda: len(names_of(events(folder), "done")) >= 3)
    process.send_signal(number)
    code, told = end_of(process)
    assert code == 130, told
    done, interrupted = names_of(events(folder), "done"), names_of(events(folder), "interrupted")
    assert 3 <= len(done) < 60
    assert len(done) + len(interrupted) == 60
    assert len(contents(folder)) == 2 * len(done)
    wait_until(lambda: actor_pids() == [])


def test_a_driver_that_is_killed_is_resumed(tmp_path: Path, expected: dict[str, bytes]):
    names = fill(folder := tmp_path / "audio", 60)
    process = start_on_ray(folder, step_s=0.1)
    wait_until(lambda: len(names_of(events(folder), "done")) >= 5)
    process.kill()
    end_of(process)
    code, told = end_of(start_on_ray(folder))
    assert code == 0, told
    assert contents(folder) == expected
    done = names_of(events(folder), "done")
    assert sorted({*done, *names_of(events(folder), "skipped")}) == names
    assert len(set(done)) == len(done)


def test_a_list_on_standard_input_and_a_drop_folder(tmp_path: Path):
    names = fill(folder := tmp_path / "audio", 4)
    more = "--backend ray --actors 1 --cpus-per-actor 1 --no-vad --model demo --no-journal --format txt"
    listed = "\n".join(str(folder / name) for name in names)
    for command, given in ((["transcribe", "-"], listed), (["watch", str(folder), "--until-idle", "2"], "")):
        done = subprocess.run(
            [sys.executable, "-c", DRIVER, *command, *more.split(), "--output-dir", str(tmp_path / command[0])],
            input=given,
            text=True,
            capture_output=True,
            check=False,
            cwd=folder,
        )
        assert done.returncode == 0, done.stderr
        assert sorted(path.name for path in (tmp_path / command[0]).rglob("*.txt")) == [
            name.replace(".wav", ".txt") for name in names
        ]


def test_a_cluster_that_is_not_there_is_told_in_one_sentence(tmp_path: Path):
    fill(folder := tmp_path / "audio", 1)
    code, told = end_of(start_on_ray(folder, address="127.0.0.1:1"))
    assert code == 3, told
    assert told.splitlines()[-1].startswith("whisperbatch: no Ray cluster can be reached at 127.0.0.1:1 (")


def test_a_node_that_cannot_see_the_folder_says_so_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The actors' machine is made to have no folders."""
    fill(folder := tmp_path / "audio", 2)
    monkeypatch.setenv("BLIND", "1")
    code, told = end_of(start_on_ray(folder))
    assert code == 3, told
    why = f"cannot see {folder}; mount it there at the same path"
    assert told.splitlines()[-1] in [f"whisperbatch: nothing can be transcribed: actor {n} {why}" for n in (1, 2)]
    assert names_of(events(folder), "failed") == []

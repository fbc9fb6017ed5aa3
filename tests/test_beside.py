"""Names of outputs, collisions, what lies there already, and writing that is whole or not there."""

import os
import random
import signal
import subprocess
import sys
import textwrap
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whisperbatch.errors import RunError, WriteError
from whisperbatch.options import OutputOptions
from whisperbatch.records import AudioFile, Segment, Transcript
from whisperbatch.writers import render_all
from whisperbatch.writers.atomic import PREFIX, remove_stale
from whisperbatch.writers.beside import Namer, check_writable, write_all

MEDIA = frozenset({".wav", ".mp3", ".flac"})


def recording(path: Path, root: Path | None = None, size: int = 7) -> AudioFile:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)
    return AudioFile(path, root, size, 1)


def namer(**options: object) -> Namer:
    return Namer(OutputOptions(**{"formats": ("txt",), **options}), MEDIA)


def name_of(namer: Namer, audio: AudioFile, language: str = "en") -> Path:
    namer.plan(audio)
    return namer.outputs(audio, language)["txt"]


def transcribed(namer: Namer, audio: AudioFile, text: str = " Hello.") -> dict[str, Path]:
    """Write outputs as a run would."""
    transcript = Transcript("en", (Segment(0.0, 1.0, text),), 1.0, size=audio.size, model="m")
    namer.plan(audio)
    places = namer.outputs(audio, "en")
    texts = render_all(transcript, tuple(places))
    write_all({places[name]: text for name, text in texts.items()})
    return places


def test_beside_the_recording(tmp_path: Path):
    assert name_of(namer(), recording(tmp_path / "talk.wav")) == tmp_path / "talk.txt"
    assert name_of(namer(name="{stem}.{language}"), recording(tmp_path / "a.wav")) == tmp_path / "a.en.txt"
    assert name_of(namer(name="{stem}.{language}"), recording(tmp_path / "b.wav"), "") == tmp_path / "b.und.txt"


@pytest.mark.parametrize("order", [("talk.wav", "talk.mp3"), ("talk.mp3", "talk.wav")])
def test_recordings_that_would_share_a_name_both_take_their_full_one(tmp_path: Path, order: tuple[str, str]):
    files = [recording(tmp_path / name) for name in order]
    one = namer()
    assert [name_of(one, file).name for file in files] == [f"{name}.txt" for name in order]


def test_names_are_compared_as_careless_file_systems_do(tmp_path: Path):
    files = [recording(tmp_path / name) for name in ("Stra\u00dfe.wav", "STRASSE.mp3")]
    decomposed = unicodedata.normalize("NFD", "caf\u00e9")
    files += [recording(tmp_path / name) for name in ("caf\u00e9.wav", f"{decomposed}.mp3")]
    one = namer()
    assert [name_of(one, file).name for file in files] == [f"{file.path.name}.txt" for file in files]


def test_a_late_comer_takes_the_full_name_and_the_first_keeps_its_own(tmp_path: Path):
    one = namer()
    first = recording(tmp_path / "talk.wav")
    assert name_of(one, first).name == "talk.txt"
    late = recording(tmp_path / "talk.mp3")
    assert name_of(one, late).name == "talk.mp3.txt"
    assert name_of(one, first).name == "talk.txt"


def test_an_output_folder_mirrors_the_tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "out"
    one = namer(output_dir=out)
    found = recording(tmp_path / "in" / "a" / "talk.wav", root=tmp_path / "in")
    listed = recording(tmp_path / "in" / "b" / "talk.wav")
    assert name_of(one, found) == out / "a" / "talk.txt"
    assert name_of(one, listed) == out / "in" / "b" / "talk.txt"
    assert name_of(namer(output_dir=out, relative_to=tmp_path / "in"), listed) == out / "b" / "talk.txt"
    monkeypatch.chdir(tmp_path / "in" / "a")
    assert name_of(namer(output_dir=out), listed) == out.joinpath(*listed.path.parts[1:-1]) / "talk.txt"
    climbing = AudioFile(Path("../b/talk.wav"), None, 7, 1)
    assert name_of(namer(output_dir=out), climbing).is_relative_to(out)
    assert ".." not in name_of(namer(output_dir=out), climbing).parts


def test_the_same_name_in_two_folders_under_one_output_folder(tmp_path: Path):
    one = namer(output_dir=tmp_path / "out")
    files = [recording(tmp_path / root / "talk.wav", root=tmp_path / root) for root in ("x", "y", "z")]
    names = [name_of(one, file) for file in files]
    assert len(set(names)) == 3
    assert names[0].name == "talk.txt"
    assert names[1].name == "talk.wav.txt"
    assert names[2].name.startswith("talk.wav.")
    assert [name_of(one, file) for file in files] == names


def test_what_we_transcribed_is_skipped_and_missing_formats_are_made_from_the_json(tmp_path: Path):
    audio = recording(tmp_path / "talk.wav")
    transcribed(namer(formats=("txt", "json")), audio)
    plan = namer(formats=("txt", "json")).plan(audio)
    assert plan.skip == "already transcribed"
    assert set(plan.outputs) == {tmp_path / "talk.txt", tmp_path / "talk.json"}
    plan = namer(formats=("txt", "srt")).plan(audio)
    assert plan.skip is None
    assert plan.reuse is not None
    assert plan.reuse.text == " Hello."
    assert plan.outputs == (tmp_path / "talk.txt",)


def test_a_changed_recording_and_overwrite_are_done_again(tmp_path: Path):
    audio = recording(tmp_path / "talk.wav")
    transcribed(namer(formats=("txt", "json")), audio)
    again = namer(formats=("txt", "json"), overwrite=True)
    assert again.plan(audio) == type(again.plan(audio))()
    assert again.outputs(audio, "en")["txt"] == tmp_path / "talk.txt"
    longer = recording(tmp_path / "talk.wav", size=9)
    changed = namer(formats=("txt", "json"))
    assert changed.plan(longer).skip is None
    assert changed.outputs(longer, "en")["txt"] == tmp_path / "talk.wav.txt"


def test_a_hand_correction_is_left_alone(tmp_path: Path):
    audio = recording(tmp_path / "talk.wav")
    places = transcribed(namer(formats=("txt", "json")), audio)
    places["txt"].write_text("corrected")
    assert namer(formats=("txt", "json")).plan(audio).skip == "already transcribed"


def test_language_in_the_name_is_found_again(tmp_path: Path):
    audio = recording(tmp_path / "talk.wav")
    named = {"formats": ("txt", "json"), "name": "{stem}.{language}"}
    assert transcribed(namer(**named), audio)["txt"].name == "talk.en.txt"
    assert namer(**named).plan(audio).skip == "already transcribed"


def test_a_file_that_is_not_ours_is_never_taken(tmp_path: Path):
    audio = recording(tmp_path / "talk.wav")
    (tmp_path / "talk.txt").write_text("my notes")
    one = namer(formats=("txt", "json"))
    assert name_of(one, audio).name == "talk.wav.txt"
    transcribed(namer(formats=("txt", "json")), audio)
    assert (tmp_path / "talk.txt").read_text() == "my notes"
    assert namer(formats=("txt", "json")).plan(audio).skip == "already transcribed"
    assert name_of(namer(formats=("txt", "json"), overwrite=True), audio).name == "talk.txt"


def test_when_every_name_is_taken_a_sentence_says_so(tmp_path: Path):
    audio = recording(tmp_path / "talk.wav")
    one = namer(formats=("txt", "json"))
    for base in one._candidates(audio, tmp_path):
        (tmp_path / f"{base}.txt").write_text("notes")
    with pytest.raises(WriteError, match="use --overwrite"):
        one.plan(audio)


def test_outputs_without_json_that_are_all_there_are_left(tmp_path: Path):
    audio = recording(tmp_path / "talk.wav")
    transcribed(namer(formats=("srt",)), audio)
    assert namer(formats=("srt",)).plan(audio).skip is not None


def test_long_names_are_cut_and_stay_different(tmp_path: Path):
    files = [recording(tmp_path / ("ä" * 123 + end + ".wav")) for end in ("ab", "cd")]
    one = namer(name="{stem}.transcript.{language}")
    names = [name_of(one, file) for file in files]
    assert len(set(names)) == 2
    for path in names:
        assert len(os.fsencode(path.name)) <= 255
        write_all({path: "x"})
        assert path.read_text() == "x"


def test_names_that_are_not_utf8(tmp_path: Path):
    audio = recording(tmp_path / os.fsdecode(b"\xff\xfetalk.wav"))
    path = name_of(namer(), audio)
    write_all({path: "x"})
    assert os.fsencode(path.name) == b"\xff\xfetalk.txt"


@settings(max_examples=30, deadline=None)
@given(
    names=st.sets(st.sampled_from([s + e for s in ("a", "A", "b", "a.wav") for e in (".wav", ".mp3", ".flac")])),
    seed=st.integers(0, 99),
)
def test_no_two_recordings_share_an_output_and_order_does_not_matter(tmp_path_factory, names: set[str], seed: int):
    folder = tmp_path_factory.mktemp("x")
    files = [recording(folder / name) for name in sorted(names)]
    one, other = namer(), namer()
    shuffled = random.Random(seed).sample(files, len(files))
    forward = {file.path: name_of(one, file) for file in files}
    backward = {file.path: name_of(other, file) for file in shuffled}
    folded = {str(path).casefold() for path in forward.values()}
    assert len(folded) == len(files)
    full = {file.path.name.casefold() for file in files}
    if len(full) == len(files) and not any(file.path.stem.endswith(".wav") for file in files):
        assert forward == backward


def test_writing_makes_folders_and_leaves_no_temporary_file(tmp_path: Path):
    paths = write_all({tmp_path / "a" / "b" / "x.txt": "one\n", tmp_path / "y.srt": "zwei ä\n"})
    assert [path.read_bytes() for path in paths] == [b"one\n", "zwei ä\n".encode()]
    assert not [path for path in tmp_path.rglob("*") if path.name.startswith(PREFIX)]


def test_writing_that_fails_leaves_nothing_and_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "file").touch()
    with pytest.raises(WriteError, match="cannot be written"):
        write_all({tmp_path / "good.txt": "x", tmp_path / "file" / "x.txt": "x"})

    def full(number: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(WriteError, match="the disk is full"):
        write_all({tmp_path / "good.txt": "x"})
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_an_output_folder_that_cannot_be_written_ends_the_run_early(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="output folder"):
        check_writable(OutputOptions(output_dir=tmp_path / "file" / "out"))
    check_writable(OutputOptions(output_dir=tmp_path / "new" / "out"))
    assert (tmp_path / "new" / "out").is_dir()


@pytest.mark.skipif(os.name == "nt", reason="kills with SIGKILL")
def test_killing_while_writing_never_leaves_a_half_file(tmp_path: Path):
    script = textwrap.dedent(
        f"""
        from pathlib import Path
        from whisperbatch.writers.atomic import write_all
        print("go", flush=True)
        n = 0
        while True:
            n += 1
            write_all({{Path({str(tmp_path)!r}) / f"x.{{s}}": f"{{n}}\\n" * 50_000 for s in ("txt", "srt")}})
        """
    )
    rng = random.Random(0)
    for _ in range(8):
        writer = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
        assert writer.stdout is not None
        writer.stdout.readline()
        try:
            writer.wait(rng.uniform(0.02, 0.3))
        except subprocess.TimeoutExpired:
            writer.send_signal(signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
        for path in tmp_path.glob("x.*"):
            lines = path.read_text().split("\n")
            assert len(lines) == 50_001
            assert len(set(lines[:-1])) == 1
    remove_stale(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} <= {"x.txt", "x.srt"}


def test_temporary_files_of_the_living_are_left(tmp_path: Path):
    host = next(iter(write_all({tmp_path / "x.txt": ""})))  # any write: the name's parts are private
    from whisperbatch.writers import atomic

    mine = tmp_path / f"{PREFIX}{atomic._HOST}-{os.getpid()}-0.tmp"
    other = tmp_path / f"{PREFIX}0123abcd-1-0.tmp"
    for path in (mine, other):
        path.touch()
    remove_stale(tmp_path)
    assert mine.exists()
    assert other.exists()
    assert host.exists()

"""Where outputs go, what is skipped, reused or never touched; files whole or not there, killed at any moment."""

import errno
import itertools
import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unicodedata
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pools import wait_until
from whisperbatch.errors import FileError, RunError, TakenError, WriteError
from whisperbatch.options import PRESETS, DecodeOptions, OutputOptions, RunOptions, SubtitleOptions
from whisperbatch.outputs import atomic
from whisperbatch.outputs.namer import Namer, check_writable, remove_stale, write_all
from whisperbatch.outputs.paths import folder_of
from whisperbatch.pipeline.decision import Decision
from whisperbatch.pipeline.open_files import Job
from whisperbatch.pipeline.planner import Planner
from whisperbatch.pipeline.text_settings import settings_of
from whisperbatch.records import AudioFile, Segment, Transcript, Word
from whisperbatch.transcripts import Assembly
from whisperbatch.writers import render, render_all

MEDIA = frozenset([".wav", ".mp3", ".mp4", ".m4a"])
WITH_WORDS = DecodeOptions(word_timestamps=True)  # as subtitles in most shapes want them
ALL = ("txt", "vtt", "srt", "tsv", "json")


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


class Names(Namer):
    """A run's names, and what a run without a journal does with a recording."""

    def __init__(self, options: OutputOptions) -> None:
        super().__init__(options, MEDIA)
        self.planner = Planner(RunOptions(output=options, decode=WITH_WORDS), self, None)

    def plan(self, audio: AudioFile) -> Decision:
        return self.planner.decide(Job(0, audio, Assembly(audio)))


def namer(*, formats=("txt", "json"), **given):
    return Names(OutputOptions(formats=formats, **given))


def is_new(plan: Decision) -> bool:
    """Whether a recording is to be transcribed, and nothing of it is there."""
    return plan.is_work and not (plan.outputs or plan.why)


def audio(path, data=b"RIFF", root=None):
    """A recording on disk, as a source names it."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return AudioFile(path, root, len(data), path.stat().st_mtime_ns)


def transcript(audio, text=" Hello.", language="en"):
    options = RunOptions(decode=WITH_WORDS)
    model, settings = options.engine.model, settings_of(options, audio)
    return Transcript(
        language, (Segment(0.0, 1.5, text),), duration_s=2.0, size=audio.size, model=model, settings=settings
    )


def names(places):
    return [path.name for path in places.values()]


def finish(names, audio, text=" Hello.", language="en"):
    """Plan, name and write, as a run does; what was planned and written."""
    plan = names.plan(audio)
    if plan.skip is not None:
        return plan, ()
    made = plan.reuse or transcript(audio, text, language)
    places = names.outputs(audio, made.language)
    texts = render_all(made, tuple(places))
    return plan, write_all({path: texts[name] for name, path in places.items() if path not in plan.outputs})


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def older(path, seconds=100):
    stamp = path.stat().st_mtime - seconds
    os.utime(path, (stamp, stamp))


# names


def test_outputs_lie_beside_the_audio_named_by_its_stem(here):
    places = namer(formats=ALL).outputs(audio("in/talk.one.wav"), "en")
    assert places == {name: Path(f"in/talk.one.{name}") for name in ALL}


def test_the_template_may_name_the_language(here):
    talk = audio("talk.wav")
    assert names(namer(name="{stem}.{language}").outputs(talk, "de")) == ["talk.de.txt", "talk.de.json"]
    assert names(namer(name="{language}-{stem}").outputs(talk, "")) == ["und-talk.txt", "und-talk.json"]


def test_a_language_out_of_a_strange_file_leads_nowhere(here):
    places = namer(name="{stem}.{language}").outputs(audio("talk.wav"), "../../etc/x")
    assert names(places) == ["talk.und.txt", "talk.und.json"]


@pytest.mark.parametrize(
    ("one", "other"),
    [("talk.wav", "talk.mp3"), ("talk.wav", "TALK.mp3"), ("Straße.wav", "STRASSE.mp3"),
     (unicodedata.normalize("NFC", "Müller.wav"), unicodedata.normalize("NFD", "Müller.mp3"))],
)  # fmt: skip
@pytest.mark.parametrize("backwards", [False, True])
def test_recordings_that_would_share_a_name_both_use_full_names(here, one, other, backwards):
    files = [audio(one), audio(other)]
    order = files[::-1] if backwards else files
    whole = namer()
    given = {file.path.name: names(whole.outputs(file, "en"))[0] for file in order}
    assert given == {one: f"{one}.txt", other: f"{other}.txt"}
    assert names(namer().outputs(files[1], "en"))[0] == f"{other}.txt"  # alone in a run likewise


def test_a_full_name_does_not_take_a_third_ones_stem(here):
    files = [audio(name) for name in ("talk.wav", "talk.mp3", "talk.wav.mp3")]
    for order in itertools.permutations(files):
        whole = namer()
        given = {file.path.name: names(whole.outputs(file, "en"))[0] for file in order}
        assert given == {name: f"{name}.txt" for name in ("talk.wav", "talk.mp3", "talk.wav.mp3")}


@given(
    st.sets(st.sampled_from([s + e for s in ("a", "A", "b", "a.wav", "a.wav.mp3") for e in (".wav", ".mp3", ".m4a")])),
    st.randoms(use_true_random=False),
)
def test_names_hang_neither_on_the_order_nor_on_what_else_is_in_the_run(stems, random):
    with tempfile.TemporaryDirectory() as folder:
        files = [audio(Path(folder, name)) for name in sorted(stems)]
        shuffled = random.sample(files, len(files))
        forward, backward, alone = namer(), namer(), {}
        given = {file.path: forward.outputs(file, "en")["txt"] for file in files}
        assert {file.path: backward.outputs(file, "en")["txt"] for file in shuffled} == given
        alone = {file.path: namer().outputs(file, "en")["txt"] for file in files}
        assert alone == given
        assert len({str(path).casefold() for path in given.values()}) == len(files)


def test_folders_hidden_files_and_other_files_are_no_neighbours(here):
    talk = audio("talk.wav")
    Path("talk.mp3").mkdir()
    Path("talk.pdf").touch()
    Path(".talk.mp3").touch()
    Path("talk.mp4").symlink_to("talk.mp4")  # in a circle
    assert names(namer().outputs(talk, "en"))[0] == "talk.txt"


def test_a_late_comer_takes_the_full_name_and_the_first_keeps_its_own(here):
    whole = namer()
    talk = audio("talk.wav")
    assert names(whole.outputs(talk, "en"))[0] == "talk.txt"
    assert names(whole.outputs(audio("talk.mp3"), "en"))[0] == "talk.mp3.txt"
    assert names(whole.outputs(talk, "en"))[0] == "talk.txt"


def test_new_arrivals_in_a_known_folder_are_seen(here):
    whole = namer()
    whole.outputs(audio("first.wav"), "en")
    files = [audio("talk.wav"), audio("talk.mp3")]
    assert [names(whole.outputs(file, "en"))[0] for file in files] == ["talk.wav.txt", "talk.mp3.txt"]


def test_in_a_later_run_the_first_keeps_its_name_too(here):
    talk = audio("talk.wav", b"one recording")
    finish(namer(), talk)
    late = audio("talk.mp3", b"another")
    plan, written = finish(namer(), late)
    assert (is_new(plan), sorted(p.name for p in written)) == (True, ["talk.mp3.json", "talk.mp3.txt"])
    assert namer().plan(talk).skip == "already transcribed"
    whole = namer(overwrite=True)
    assert is_new(whole.plan(talk))
    assert names(whole.outputs(talk, "en"))[0] == "talk.txt"


def test_an_output_folder_mirrors_the_tree(here):
    out = Path("out")
    inside = audio("in/a/b/talk.wav", root=Path("in"))
    assert namer(output_dir=out).outputs(inside, "en")["txt"] == Path("out/a/b/talk.txt")
    listed = audio("in/c/talk.wav")
    assert namer(output_dir=out).outputs(listed, "en")["txt"] == Path("out/in/c/talk.txt")
    assert namer(output_dir=out, relative_to=Path("in")).outputs(listed, "en")["txt"] == Path("out/c/talk.txt")
    absolute = replace(listed, path=listed.path.absolute())
    assert namer(output_dir=out).outputs(absolute, "en")["txt"] == Path("out/in/c/talk.txt")


def test_a_file_outside_keeps_its_whole_path_as_cp_parents_does(here):
    (here / "work").mkdir()
    outside = audio(here / "elsewhere" / "talk.wav")
    os.chdir("work")
    expected = Path("out", *here.parts[1:], "elsewhere", "talk.txt")
    assert namer(output_dir=Path("out")).outputs(outside, "en")["txt"] == expected
    dotted = replace(outside, path=Path("../elsewhere/../elsewhere/talk.wav"))
    assert namer(output_dir=Path("out")).outputs(dotted, "en")["txt"] == expected
    by_root = replace(dotted, root=Path("../work"))  # a root that it does not lie in
    assert namer(output_dir=Path("out")).outputs(by_root, "en")["txt"] == expected


@given(st.lists(st.sampled_from(["..", ".", "a", "b"]), max_size=6), st.booleans())
def test_nothing_escapes_the_output_folder(parts, has_root):
    talk = AudioFile(Path(*parts, "talk.wav"), Path("a") if has_root else None)
    place = namer(output_dir=Path("/nowhere/out")).outputs(talk, "en")["txt"]
    assert Path(os.path.normpath(place)).is_relative_to("/nowhere/out")


def test_inputs_that_meet_in_the_output_folder_get_names_apart(here):
    whole = namer(output_dir=Path("out"))
    files = [audio(f"{folder}/a/talk.wav", root=Path(folder)) for folder in ("x", "y", "z", "w")]
    given = [names(whole.outputs(file, "en"))[0] for file in files]
    assert given[:2] == ["talk.txt", "talk.wav.txt"]
    assert all(name.startswith("talk.wav.") and len(name) == len("talk.wav.01234567.txt") for name in given[2:])
    assert len(set(given)) == 4
    assert [names(whole.outputs(file, "en"))[0] for file in files] == given


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/"), min_size=1, max_size=255))
def test_names_fit_the_file_system_and_are_told_apart(text):
    stem = (text * 255).encode()[:251].decode(errors="ignore")
    stem = stem.replace(".", "_")
    for name in ("{stem}", "{stem}.{language}"):
        whole = namer(formats=ALL, name=name)
        places = whole.outputs(AudioFile(Path("/nowhere", f"{stem}.wav")), "en")
        assert all(len(os.fsencode(path.name)) <= 255 for path in places.values())
        assert len({path.name.removesuffix(f".{suffix}") for suffix, path in places.items()}) == 1
        others = whole.outputs(AudioFile(Path("/nowhere", f"{stem[:-1]}§§§.wav")), "en")
        assert not set(places.values()) & set(others.values())


def test_long_names_are_cut_at_a_character_and_can_be_written(here):
    stem = "語" * 83  # 249 bytes
    talk = audio(f"{stem}.wav")
    whole = namer(formats=ALL, name="{stem}.{language}")
    places = whole.outputs(talk, "en")
    shown = places["txt"].name.removesuffix(".txt")
    assert stem.startswith(shown[:-9])
    assert shown[-9] == "~"
    finish(whole, talk)
    assert all(path.exists() for path in places.values())
    assert namer(formats=ALL, name="{stem}.{language}").plan(talk).skip == "already transcribed"


@pytest.mark.skipif(sys.platform != "linux", reason="other file systems want UTF-8")
def test_names_that_are_no_utf8_work(here):
    talk = audio(os.fsdecode(b"caf\xe9 [1].wav"))
    for name in ("{stem}", "{stem}.{language}"):
        finish(namer(name=name), talk)
        assert namer(name=name).plan(talk).skip == "already transcribed"
    assert b"caf\xe9 [1].en.txt" in {os.fsencode(path.name) for path in here.iterdir()}


def test_many_threads_get_names_apart(here):
    files = [audio(f"{number % 10}/talk.{suffix}", root=Path(str(number % 10)))
             for number in range(20) for suffix in ("wav", "mp3")]  # fmt: skip
    whole, got, barrier = namer(output_dir=Path("out")), [], threading.Barrier(8)

    def take(part):
        barrier.wait(60)
        got.extend((str(file.path), whole.outputs(file, "en")["txt"]) for file in part)

    threads = [threading.Thread(target=take, args=(files[start::8],)) for start in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len({place for _, place in got}) == len({path for path, _ in got}) == 20
    assert len(set(got)) == 20


# plans


def test_what_is_transcribed_is_skipped(here):
    talk = audio("talk.wav")
    plan, written = finish(namer(formats=ALL), talk)
    assert is_new(plan)
    before = contents(here)
    again = namer(formats=ALL).plan(talk)
    assert again.skip == "already transcribed"
    assert set(again.outputs) == set(written) == {Path(f"talk.{name}") for name in ALL}
    assert contents(here) == before


def test_another_recording_of_that_name_is_not_skipped_and_replaces_nothing(here):
    finish(namer(), audio("talk.wav", b"first"))
    before = contents(here)
    plan, written = finish(namer(), audio("talk.wav", b"second one"))
    assert is_new(plan)
    assert {p.name for p in written} == {"talk.wav.txt", "talk.wav.json"}
    assert all(contents(here)[name] == data for name, data in before.items() if name != "talk.wav")


def test_missing_formats_are_rendered_from_our_json(here):
    talk = audio("talk.wav")
    finish(namer(formats=("json",)), talk, " From JSON.")
    plan, written = finish(namer(formats=("txt", "srt", "json")), talk, " From the engine.")
    assert plan.reuse == transcript(talk, " From JSON.")
    assert plan.outputs == (Path("talk.json"),)
    assert set(written) == {Path("talk.txt"), Path("talk.srt")}
    assert Path("talk.txt").read_text() == "From JSON.\n"
    plan, written = finish(namer(formats=("vtt",)), talk)  # JSON not asked for, and there
    assert plan.reuse is not None
    assert written == (Path("talk.vtt"),)
    assert namer(formats=("vtt",)).plan(talk).skip == "already transcribed"


def test_a_file_that_is_not_ours_stays_and_the_full_name_is_used(here):
    talk = audio("talk.wav")
    Path("talk.txt").write_text("my notes")
    plan, written = finish(namer(), talk)
    assert is_new(plan)
    assert set(written) == {Path("talk.wav.txt"), Path("talk.wav.json")}
    assert Path("talk.txt").read_text() == "my notes"
    assert namer().plan(talk).skip == "already transcribed"


@pytest.mark.parametrize("data", [b"{}", b"[" * 9999, b'{"text": "", "segments": [], "language": "en"}', b"\xff"])
def test_json_without_our_block_is_not_ours(here, data):
    talk = audio("talk.wav")
    Path("talk.json").write_bytes(data)
    _, written = finish(namer(), talk)
    assert set(written) == {Path("talk.wav.txt"), Path("talk.wav.json")}
    assert Path("talk.json").read_bytes() == data


def test_with_both_names_taken_the_hash_and_then_a_sentence(here):
    talk = audio("talk.wav")
    for name in ("talk.txt", "talk.wav.txt"):
        Path(name).write_text("mine")
    _, written = finish(namer(formats=("txt", "json")), talk)
    third = next(path for path in written if path.suffix == ".txt")
    assert len(third.name) == len("talk.wav.01234567.txt")
    third.write_text("mine")
    third.with_suffix(".json").unlink()
    before = contents(here)
    with pytest.raises(WriteError, match="--overwrite") as caught:
        namer().plan(talk)
    assert caught.value.path == talk.path
    assert contents(here) == before


def test_overwrite_replaces_what_is_in_the_way(here):
    talk = audio("talk.wav")
    Path("talk.txt").write_text("my notes")
    plan, written = finish(namer(overwrite=True), talk)
    assert is_new(plan)
    assert set(written) == {Path("talk.txt"), Path("talk.json")}
    plan, _ = finish(namer(overwrite=True), talk, " Once more.")
    assert is_new(plan)
    assert Path("talk.txt").read_text() == "Once more.\n"


def test_overwrite_takes_the_plain_name_back(here):
    talk = audio("talk.wav")
    Path("talk.txt").write_text("my notes")
    _, written = finish(namer(), talk)
    assert set(written) == {Path("talk.wav.txt"), Path("talk.wav.json")}
    _, written = finish(namer(overwrite=True), talk)
    assert set(written) == {Path("talk.txt"), Path("talk.json")}


def test_a_foreign_file_among_ours_moves_the_set_without_inference(here):
    talk = audio("talk.wav")
    finish(namer(formats=("json",)), talk)
    Path("talk.txt").write_text("my notes")
    older(Path("talk.txt"))
    plan, written = finish(namer(), talk)
    assert plan.reuse == transcript(talk)
    assert set(written) == {Path("talk.wav.txt"), Path("talk.wav.json")}
    assert Path("talk.txt").read_text() == "my notes"
    assert namer().plan(talk).skip == "already transcribed"


def test_a_correction_by_hand_is_kept_and_counts(here):
    talk = audio("talk.wav")
    finish(namer(), talk)
    older(Path("talk.json"))
    Path("talk.txt").write_text("Hello, corrected.")
    assert namer().plan(talk).skip == "already transcribed"
    plan, written = finish(namer(formats=("txt", "srt", "json")), talk)
    assert written == (Path("talk.srt"),)
    assert Path("talk.txt") in plan.outputs
    assert Path("talk.txt").read_text() == "Hello, corrected."


def test_a_text_format_alone_is_skipped_when_it_is_there_and_moves_aside_when_half_is(here):
    talk = audio("talk.wav")
    finish(namer(formats=("srt",)), talk)
    plan = namer(formats=("srt",)).plan(talk)
    assert (plan.skip, plan.outputs) == ("all its outputs are there already", (Path("talk.srt"),))
    _, written = finish(namer(formats=("srt", "vtt")), talk)
    assert set(written) == {Path("talk.wav.srt"), Path("talk.wav.vtt")}


def test_a_new_recording_in_the_same_run_is_transcribed_and_replaces_nothing(here):
    for formats in (("txt", "json"), ("txt",)):
        folder = "-".join(formats)
        whole = namer(formats=formats)
        finish(whole, audio(f"{folder}/talk.wav", b"first"), " First.")
        _, written = finish(whole, audio(f"{folder}/talk.wav", b"second one"), " Second.")
        assert Path(folder, "talk.wav.txt") in written
        assert Path(folder, "talk.txt").read_text() == "First.\n"
        assert Path(folder, "talk.wav.txt").read_text() == "Second.\n"


def test_with_a_language_in_the_name_outputs_are_found_in_any_language(here):
    name = "{stem}.{language}"
    talk, other = audio("talk [1]*.wav"), audio("talk.wav", b"another one")
    finish(namer(name=name), talk, language="de")
    finish(namer(name=name), other, language="haw")
    assert Path("talk [1]*.de.json").exists()
    plan = namer(name=name).plan(talk)
    assert (plan.skip, set(plan.outputs)) == (
        "already transcribed",
        {Path(f"talk [1]*.de.{n}") for n in ("txt", "json")},
    )
    plan, written = finish(namer(name=name, formats=("srt", "json")), talk)
    assert (plan.reuse is not None, written) == (True, (Path("talk [1]*.de.srt"),))
    assert namer(name=name).plan(other).skip == "already transcribed"


def test_a_file_that_comes_again_in_one_run_is_skipped(here):
    for name in ("{stem}", "{stem}.{language}"):
        whole, talk = namer(name=name), audio("talk.wav")
        finish(whole, talk)
        assert whole.plan(talk).skip == "already transcribed"


def test_with_a_language_in_the_name_only_the_same_language_is_in_the_way(here):
    name = "{stem}.{language}"
    talk = audio("talk.wav")
    Path("talk.en.txt").write_text("a translation of mine")
    _, written = finish(namer(name=name), talk, language="de")
    assert set(written) == {Path("talk.de.txt"), Path("talk.de.json")}
    other = audio("walk.wav", b"walk")
    Path("walk.de.txt").write_text("mine")
    whole = namer(name=name)
    _, written = finish(whole, other, language="de")
    assert set(written) == {Path("walk.wav.de.txt"), Path("walk.wav.de.json")}
    assert set(whole.outputs(other, "de").values()) == set(written)
    assert Path("walk.de.txt").read_text() == "mine"


def test_a_file_that_appears_after_the_plan_is_not_replaced(here):
    talk = audio("talk.wav")
    whole = namer()
    assert is_new(whole.plan(talk))
    Path("talk.txt").write_text("quickly noted")
    assert names(whole.outputs(talk, "en")) == ["talk.wav.txt", "talk.wav.json"]


@pytest.mark.parametrize("overwrite", [False, True])
def test_an_input_is_never_an_output(here, overwrite):
    listed = audio("talk.txt", b"RIFF, in truth")
    whole = namer(formats=("txt",), overwrite=overwrite)
    plan, written = finish(whole, listed)
    assert (is_new(plan), written) == (True, (Path("talk.txt.txt"),))
    beside = audio("talk.wav")
    _, written = finish(whole, beside)
    assert written == (Path("talk.wav.txt"),)
    assert Path("talk.txt").read_bytes() == b"RIFF, in truth"
    held = audio("held.json", b"RIFF too")
    Path("held.txt").symlink_to("held.json")
    _, written = finish(namer(overwrite=overwrite), held)
    assert {path.name for path in written} == {"held.json.txt", "held.json.json"}
    assert Path("held.json").read_bytes() == b"RIFF too"


def test_what_an_input_is_a_link_to_is_never_an_output(here):
    Path("talk.txt").write_bytes(b"RIFF, in truth")
    Path("talk.wav").symlink_to("talk.txt")
    _, written = finish(namer(formats=("txt",), overwrite=True), AudioFile(Path("talk.wav"), None, 14))
    assert written == (Path("talk.wav.txt"),)
    assert Path("talk.txt").read_bytes() == b"RIFF, in truth"


def test_a_plan_on_a_closed_folder_says_so_but_skips_what_is_done(here, monkeypatch):
    done, new = audio("talk.wav"), audio("walk.wav", b"walk")
    finish(namer(), done)
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert namer().plan(done).skip == "already transcribed"
    with pytest.raises(WriteError, match="no permission to write there; use --output-dir"):
        namer().plan(new)


@pytest.mark.parametrize("comes", [True, False])
def test_a_folder_that_comes_or_goes_while_it_is_looked_at_is_not_closed(here, monkeypatch, comes):
    talk, real, looks = audio("talk.wav"), os.access, []
    folder = folder_of(talk, OutputOptions(output_dir=Path("out")))
    if not comes:
        folder.mkdir(parents=True)

    def access(path, mode):
        if not comes:
            folder.rmdir()
        looks.append(real(path, mode))
        if comes:  # another file's transcript is written there
            folder.mkdir(parents=True, exist_ok=True)
        return looks[-1]

    monkeypatch.setattr(os, "access", access)
    assert is_new(namer(output_dir=Path("out")).plan(talk))
    assert looks == ([] if comes else [False])


# writing


def test_texts_are_written_as_they_are(here):
    texts = {Path("out/deep/a.txt"): "Zeile\nnaïve 🎙\r\n", Path("out/a.json"): "{}"}
    assert write_all(texts) == tuple(texts)
    assert Path("out/deep/a.txt").read_bytes() == "Zeile\nnaïve 🎙\r\n".encode()
    assert set(contents(here)) == {"out/deep/a.txt", "out/a.json"}
    assert write_all({}) == ()


@pytest.mark.parametrize("has_links", [True, False])
def test_what_has_come_to_lie_at_a_new_place_is_not_replaced(here, monkeypatch, has_links):
    if not has_links:
        monkeypatch.setattr(os, "link", lambda *given: (_ for _ in ()).throw(PermissionError(errno.EPERM, "no links")))
    texts = {Path("a.json"): "{}", Path("a.txt"): "mine", Path("a.srt"): "1"}
    Path("a.txt").write_text("another run's")
    with pytest.raises(TakenError, match="another file has just taken its name"):
        write_all(texts, new=texts)
    assert contents(here) == {"a.txt": b"another run's"}
    Path("a.txt").write_text("mine")  # written by a try that failed later on
    assert write_all(texts, new=texts) == tuple(texts)
    assert contents(here) == {"a.json": b"{}", "a.txt": b"mine", "a.srt": b"1"}
    Path("a.txt").write_text("old")
    write_all(texts, new=[Path("b.txt")])
    assert Path("a.txt").read_text() == "mine"


def test_half_of_a_surrogate_pair_does_not_stop_a_file(here):
    write_all({Path("a.txt"): "a\ud83cb"})
    assert Path("a.txt").read_bytes() == b"a?b"


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_the_mode_honours_the_umask(here, umask, mode):
    before = os.umask(umask)
    try:
        write_all({Path("a.txt"): "a"})
    finally:
        os.umask(before)
    assert Path("a.txt").stat().st_mode & 0o777 == mode


@pytest.mark.parametrize(
    ("number", "told"),
    [(errno.ENOSPC, "the disk is full"), (errno.EROFS, "the file system is read-only"),
     (errno.EACCES, "no permission to write there"), (errno.EDQUOT, "quota")],
)  # fmt: skip
@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_refusal_is_one_sentence_and_leaves_nothing_behind(here, monkeypatch, number, told, call):
    Path("a.txt").write_text("old")

    def refuse(*args):
        raise OSError(number, "strange words")

    owner = os if call == "fsync" else Path
    monkeypatch.setattr(owner, call, refuse)
    with pytest.raises(WriteError, match=told) as caught:
        write_all({Path("a.txt"): "new", Path("a.json"): "new"})
    assert caught.value.path in (Path("a.txt"), Path("a.json"))
    assert contents(here) == {"a.txt": b"old"}


def test_a_disk_that_ends_in_the_middle_of_a_file_leaves_nothing_behind(here):
    Path("a.txt").write_text("old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    try:
        with pytest.raises(WriteError, match="cannot be written"):
            write_all({Path("a.json"): "{}", Path("a.txt"): "x" * 100_000})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert contents(here) == {"a.txt": b"old"}


def test_names_and_folders_that_cannot_be_are_told(here):
    Path("file").write_text("")
    Path("a.txt").mkdir()
    for path, told in [
        (Path("n" * 300), "too long"),
        (Path("file/a.txt"), "there is a file where its folder should be"),
        (Path("file/deep/a.txt"), "there is a file where its folder should be"),
        (Path("a.txt"), "a folder already has that name"),
    ]:
        with pytest.raises(WriteError, match=told) as caught:
            write_all({path.with_name("b.json"): "{}", path: "text"})
        assert caught.value.path.parent == path.parent
    assert contents(here) == {"file": b""}


def test_an_interruption_leaves_no_temporary_file(here, monkeypatch):
    def interrupt(number):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_all({Path("a.txt"): "a"})
    assert contents(here) == {}


def test_a_file_system_that_cannot_sync_folders_is_no_failure(here, monkeypatch):
    sync = os.fsync

    def refuse_folders(number):
        if Path(f"/proc/self/fd/{number}").resolve().is_dir():
            raise OSError(errno.EINVAL, "Invalid argument")
        sync(number)

    monkeypatch.setattr(os, "fsync", refuse_folders)
    write_all({Path("a.txt"): "a"})
    assert contents(here) == {"a.txt": b"a"}


WRITER = """
import itertools, os, signal, sys
from pathlib import Path
from whisperbatch.outputs.namer import write_all

folder, last_call = Path(sys.argv[1]), int(sys.argv[2])
calls = itertools.count(1)

def counted(call):
    def stop_or_call(*args, **kwargs):
        if next(calls) == last_call:
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*args, **kwargs)
    return stop_or_call

print("ready", flush=True)
if last_call:
    os.fsync, Path.replace, Path.open = counted(os.fsync), counted(Path.replace), counted(Path.open)
for number in itertools.count():
    text = (f"version {number} " * 50_000) + "end"
    write_all({folder / f"talk.{name}": text for name in ("txt", "srt", "json")})
"""


def kill_a_writer(folder, last_call=0, after_s=0.0, once=lambda: True):
    """Have a process that writes without end killed: at its nth system call, or, once something holds, after a time."""
    command = [sys.executable, "-c", WRITER, str(folder), str(last_call)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"ready\n"
        if not last_call:
            wait_until(once)
            time.sleep(after_s)
            process.kill()
        assert process.wait(120) == -signal.SIGKILL
    return process.pid


def assert_all_whole(folder):
    """Every final file whole, none older by more than one version than its siblings."""
    versions = []
    for name in ("txt", "srt", "json"):
        path = folder / f"talk.{name}"
        if path.exists():
            text = path.read_text()
            number = int(text.split()[1])
            assert text == f"version {number} " * 50_000 + "end"
            versions.append(number)
    assert not versions or max(versions) - min(versions) <= 1
    return versions


def test_a_writer_killed_at_any_moment_leaves_no_half_file(tmp_path):
    chance = random.Random(5)
    kills, written = 5, 0
    for number in range(kills):
        (folder := tmp_path / str(number)).mkdir()  # each counts its versions from 0
        started = folder / ("talk.srt" if number == 0 else "")  # the first is to come so far
        kill_a_writer(folder, after_s=chance.uniform(0, 0.15), once=started.exists)
        written += len(assert_all_whole(folder))
        remove_stale(folder)
        assert {path.name for path in folder.iterdir()} <= {"talk.txt", "talk.srt", "talk.json"}
    assert written, "no writer came far enough to show anything"


@pytest.mark.slow
def test_a_writer_killed_before_each_of_its_calls_leaves_no_half_file(tmp_path):
    n_calls = 3 + 3 + 3 + 1  # a set: open, sync and rename three files, sync the folder
    for last_call in range(1, 2 * n_calls + 1):
        folder = tmp_path / str(last_call)
        folder.mkdir()
        kill_a_writer(folder, last_call)
        versions = assert_all_whole(folder)
        assert bool(versions) == (last_call > 7)
        if len(versions) in (1, 2):
            assert (folder / "talk.json").exists(), "the JSON tells whose the others are"
        remove_stale(folder)
        assert len(list(folder.iterdir())) == len(versions)


def test_a_run_after_one_that_ended_between_renames_completes_the_set_without_inference(here, monkeypatch):
    talk = audio("talk.wav")
    rename, calls = Path.replace, itertools.count()

    def rename_one_and_end(self, target):
        if next(calls) == 1:
            raise KeyboardInterrupt
        return rename(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", rename_one_and_end)
        with pytest.raises(KeyboardInterrupt):
            finish(namer(formats=ALL), talk)
    assert set(contents(here)) == {"talk.wav", "talk.json"}
    plan, written = finish(namer(formats=ALL), talk)
    assert plan.reuse is not None
    assert len(written) == 4
    assert set(contents(here)) == {"talk.wav", *(f"talk.{name}" for name in ALL)}


def test_only_what_dead_runs_of_this_host_left_is_removed(tmp_path):
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait(60)
    ours = atomic.temporary_beside(tmp_path / "x")
    parts = ours.name.removeprefix(atomic.PREFIX).split("-")

    def leave(host=parts[0], pid=str(process.pid), run="00000000", end="3.tmp"):
        path = tmp_path / f"{atomic.PREFIX}{host}-{pid}-{run}-{end}"
        path.write_text("")
        return path

    ours.write_text("")
    parent = leave(pid=str(os.getppid()))
    dead, same_pid, huge = leave(), leave(pid=str(os.getpid())), leave(pid="9" * 30)
    elsewhere, other = leave(host="0" * 8), leave(end="x.tmp")
    is_here = parts[0] != "0" * 8
    remove_stale(tmp_path)
    assert set(tmp_path.iterdir()) == {ours, parent, elsewhere, other}
    assert is_here
    assert not any(path.exists() for path in (dead, same_pid, huge))
    remove_stale(tmp_path / "nowhere")


def test_a_run_clears_away_what_a_dead_one_left(here):
    name = atomic.temporary_beside(Path("x")).name
    left = Path(name.replace(atomic.RUN, "00000000"))
    left.write_text("half")
    finish(namer(), audio("talk.wav"))
    assert not left.exists()


def test_an_old_temporary_file_of_the_same_process_id_is_not_in_the_way(here, monkeypatch):
    numbers = itertools.count(0)
    monkeypatch.setattr(atomic, "_numbers", numbers)
    for number in range(5):
        Path(f"{atomic.PREFIX}{atomic._HOST}-{os.getpid()}-00000000-{number}.tmp").write_text("")
    write_all({Path("a.txt"): "a"})
    assert Path("a.txt").read_text() == "a"


# the start of a run


def test_a_writable_output_folder_is_made_and_left_empty(here):
    check_writable(OutputOptions(output_dir=Path("out/deep")))
    assert Path("out/deep").is_dir()
    assert list(Path("out/deep").iterdir()) == []
    check_writable(OutputOptions())


def test_an_output_folder_that_cannot_be_is_told_at_once(here):
    Path("file").write_text("")
    for folder in (Path("file"), Path("file/out")):
        with pytest.raises(RunError, match=r"cannot be written to \(a file has that name\).*--output-dir") as caught:
            check_writable(OutputOptions(output_dir=folder))
        assert caught.value.path == folder
    check_writable(OutputOptions(output_dir=Path("file"), write=False))


@pytest.mark.skipif(os.name == "nt", reason="POSIX permissions")
def test_an_output_folder_without_permission_is_told_at_once():
    with tempfile.TemporaryDirectory() as name:
        closed = Path(name) / "closed"
        closed.mkdir(mode=0o555)
        Path(name).chmod(0o755)
        is_root = os.geteuid() == 0
        if is_root:  # whom no mode keeps out
            os.setresuid(65534, 65534, 0)
        try:
            for folder in (closed, closed / "deep"):
                with pytest.raises(RunError, match="Permission denied"):
                    check_writable(OutputOptions(output_dir=folder))
            with pytest.raises(WriteError, match="no permission"):
                namer().plan(AudioFile(closed / "talk.wav", None, 4))
            with pytest.raises(WriteError, match="no permission"):
                write_all({closed / "a.txt": "a"})
        finally:
            if is_root:
                os.setresuid(0, 0, 0)


def test_the_json_tells_the_size_that_a_plan_asks_for(here):
    talk = audio("talk.wav", b"12345")
    finish(namer(), talk)
    assert json.loads(Path("talk.json").read_text())["whisperbatch"]["size"] == 5


# subtitles in a shape


def spoken(audio, with_words=True):
    """A transcript whose presets differ from the plain subtitles."""
    pieces = " This is one sentence. And this one is the second, which has many more words than fit a line.".split()
    words = tuple(Word(f" {piece}", i / 4, i / 4 + 0.2, 1.0) for i, piece in enumerate(pieces))
    segment = Segment(0.0, len(words) / 4, " ".join(pieces), words=words if with_words else None)
    return replace(transcript(audio), segments=(segment,))


def shaped_run(shaping, talk, made, formats=("srt", "json")):
    """Plan and write with that shape; the plan and what was written."""
    whole = namer(formats=formats, subtitles=shaping)
    plan = whole.plan(talk)
    if plan.skip is not None:
        return plan, ()
    places = whole.outputs(talk, "en")
    texts = render_all(plan.reuse or made, tuple(places), shaping)
    return plan, write_all({path: texts[name] for name, path in places.items() if path not in plan.outputs})


def test_subtitles_in_the_wanted_shape_are_skipped(here):
    talk = audio("talk.wav")
    shaped_run(PRESETS["standard"], talk, spoken(talk))
    older(Path("talk.srt"), 500)  # so that their bytes alone tell whose they are
    plan, _ = shaped_run(PRESETS["standard"], talk, spoken(talk))
    assert plan.skip == "already transcribed"
    custom = SubtitleOptions(max_line_width=30, max_line_count=1)
    shaped_run(custom, audio("walk.wav"), spoken(audio("walk.wav")))
    older(Path("walk.srt"), 500)
    assert shaped_run(custom, audio("walk.wav"), None)[0].skip == "already transcribed"


@pytest.mark.parametrize("is_old", [False, True])
def test_subtitles_in_another_known_shape_are_made_anew_from_the_json(here, is_old):
    talk = audio("talk.wav")
    shapes = [SubtitleOptions(), PRESETS["standard"], PRESETS["asian"], SubtitleOptions(max_words_per_line=2)]
    shaped_run(shapes[0], talk, spoken(talk))
    before = Path("talk.json").read_bytes()
    for shaping in shapes[1:]:
        if is_old:
            older(Path("talk.srt"), 500)
        plan, written = shaped_run(shaping, talk, None)
        assert plan.reuse == spoken(talk)
        assert written == (Path("talk.srt"),)
        assert Path("talk.srt").read_text() == render(spoken(talk), "srt", shaping)
    assert Path("talk.json").read_bytes() == before
    assert {path.name for path in here.iterdir()} == {"talk.wav", "talk.srt", "talk.json"}


def test_subtitles_corrected_by_hand_are_kept_whatever_shape_is_wanted(here):
    talk = audio("talk.wav")
    shaped_run(SubtitleOptions(), talk, spoken(talk))
    Path("talk.srt").write_text(Path("talk.srt").read_text().replace("sentence", "phrase"))
    plan, written = shaped_run(PRESETS["standard"], talk, None)
    assert (plan.skip, written) == ("already transcribed", ())
    assert "phrase" in Path("talk.srt").read_text()


def test_a_shape_that_the_json_cannot_give_is_told_and_costs_nothing(here):
    talk = audio("talk.wav")
    shaped_run(SubtitleOptions(), talk, spoken(talk, with_words=False))
    before = contents(here)
    assert namer(formats=("srt", "json"), subtitles=PRESETS["standard"]).plan(talk).reuse is not None
    with pytest.raises(FileError, match="no word times"):
        shaped_run(PRESETS["standard"], talk, None)
    assert contents(here) == before
    assert shaped_run(SubtitleOptions(), talk, None)[0].skip == "already transcribed"
    Path("talk.srt").write_text("corrected by hand")
    assert shaped_run(SubtitleOptions(), talk, None)[0].skip == "already transcribed"

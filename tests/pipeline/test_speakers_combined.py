"""Speakers beside what else a run does: copies and moved recordings, replacement rules, sidecars, documents, hooks."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from sounds import write_wav
from speaker_runs import BASE, HIGH, LOW, PLAIN, Broken, Run, labels, tones, write_talk, written
from whisperbatch.cli import dry_run
from whisperbatch.journal import Journal
from whisperbatch.options import DocumentOptions, JournalOptions, OutputOptions, read_rules
from whisperbatch.outputs.namer import Namer
from whisperbatch.pipeline.planner import Planner
from whisperbatch.records import AudioFile, FileOptions, Status
from whisperbatch.replacements import restored
from whisperbatch.sources import MEDIA_SUFFIXES, from_paths, with_sidecars

FOUND = ["SPEAKER_00:4", "SPEAKER_01:6", "SPEAKER_00:2"]


@pytest.fixture
def talk(tmp_path: Path) -> Path:
    return write_talk(tmp_path)


def n_heard(run: Run) -> int:
    return sum(len(batch) for engine in run.engines for batch in engine.batches)


def asking(path: Path, speakers: tuple[int | None, int | None]) -> AudioFile:
    return replace(next(iter(from_paths([path]))), options=FileOptions(speakers=speakers))


def copy(talk: Path, name: str) -> Path:
    place = talk.parent / name / talk.name
    place.parent.mkdir()
    shutil.copy(talk, place)
    return place


def test_copies_get_the_speakers_of_the_first(talk: Path, tmp_path: Path):
    run = Run(journal=tmp_path / "journal")
    files = [talk, *(copy(talk, name) for name in "abc")]
    assert {one.status for one in run(files)} == {Status.DONE}
    assert {tuple(labels(written(file))) for file in files} == {tuple(FOUND)}
    assert n_heard(run) == 1
    assert [one.status for one in Run(journal=tmp_path / "journal")(files)] == [Status.SKIPPED] * 4


def test_copies_that_ask_for_other_numbers_of_speakers_are_their_own_work(talk: Path, tmp_path: Path):
    run, other = Run(journal=tmp_path / "journal"), copy(talk, "other")
    run([asking(talk, (1, 1)), asking(other, (2, 2))])
    assert [len(written(file).speakers or ()) for file in (talk, other)] == [1, 2]


@pytest.mark.parametrize("options", [PLAIN, BASE], ids=["plain", "speakers"])
def test_a_moved_recording_keeps_its_text_and_gets_its_speakers(talk: Path, tmp_path: Path, options):
    Run(options, tmp_path / "journal")([talk])
    moved = talk.rename(talk.with_name("moved.wav"))
    run = Run(journal=tmp_path / "journal")
    (outcome,) = run([moved])
    assert (outcome.status, run.engines) == (Status.DONE, [])
    assert labels(written(moved)) == FOUND
    assert moved.with_suffix(".rttm").read_text().startswith("SPEAKER moved 1 0.000 2.000 ")
    assert len(run.diarizers) == (options is PLAIN)
    with Journal(tmp_path / "journal") as book:
        (entry,) = (one for one in book.entries() if one.key.path == moved)
        assert entry.twin == talk
    assert [one.status for one in Run(journal=tmp_path / "journal")([moved])] == [Status.SKIPPED]


def test_a_moved_recording_with_speakers_is_known_to_a_run_without(talk: Path, tmp_path: Path):
    Run(journal=tmp_path / "journal")([talk])
    moved = talk.rename(talk.with_name("moved.wav"))
    run = Run(PLAIN, tmp_path / "journal")
    assert [one.status for one in run([moved])] == [Status.DONE]
    assert run.engines == []
    assert labels(written(moved)) == FOUND


def test_a_dry_run_says_that_a_moved_recording_gets_its_speakers(talk: Path, tmp_path: Path):
    Run(PLAIN, tmp_path / "journal")([talk])
    moved = talk.rename(talk.with_name("moved.wav"))
    with Journal(tmp_path / "journal") as book:
        namer = Namer(BASE.output, MEDIA_SUFFIXES)
        plan = dry_run._Plan(Planner(BASE, namer, book, lambda: "0", is_dry=True), namer, BASE, None)
        (audio,) = from_paths([moved])
        assert plan.of(audio).startswith("would find the speakers and write them to ")
        assert plan.totals() == "1 to write from JSON"


@pytest.mark.parametrize("speakers_first", [True, False])
def test_rules_and_speakers_are_added_one_after_the_other(talk: Path, tmp_path: Path, speakers_first: bool):
    (tmp_path / "names.txt").write_text("w4 -> Aase Nordmo\nw0 ->\n")
    output = replace(BASE.output, replace=read_rules([tmp_path / "names.txt"]))
    Run(BASE if speakers_first else replace(PLAIN, output=output), tmp_path / "journal")([talk])
    run = Run(replace(BASE, output=output), tmp_path / "journal")
    (outcome,) = run([talk])
    assert (outcome.status, run.engines) == (Status.DONE, [])
    found = written(talk)
    assert talk.with_suffix(".txt").read_text().splitlines() == [
        "[SPEAKER_00]: w1 w2 w3",
        "[SPEAKER_01]: Aase Nordmo w5 w6 w7 w8 w9",
        "[SPEAKER_00]: w10 w11",
    ]
    assert restored(found).text == "".join(f" w{k}" for k in range(12))
    assert labels(restored(found)) == FOUND
    assert [one.status for one in run([talk])] == [Status.SKIPPED]


def test_a_sidecar_says_how_many_speakers_there_are(talk: Path):
    (talk.parent / "whisperbatch.toml").write_text("speakers = 1\n")
    talk.with_name("talk.whisperbatch.toml").write_text('speakers = "2-3"\n')
    other = write_wav(talk.with_name("other.wav"), tones((HIGH, 2), (LOW, 3)))
    files = list(with_sidecars(from_paths([talk, other]), True))
    assert [one.options.speakers for one in files] == [(2, 3), (1, 1)]
    Run()(files)
    assert [len(written(file).speakers or ()) for file in (talk, other)] == [2, 1]


@pytest.mark.parametrize("value", ["0", '"many"', "true", "[2]", "1.5", '"3-2"'])
def test_a_sidecar_that_makes_no_sense_fails_its_recording(talk: Path, value: str):
    sidecar = talk.with_name("talk.whisperbatch.toml")
    sidecar.write_text(f"speakers = {value}\n")
    (audio,) = with_sidecars(from_paths([talk]), True)
    assert audio.options.fault is not None
    assert audio.options.fault.startswith(f'{sidecar}: "speakers"')


def test_documents_show_speakers_and_are_made_again_with_them(talk: Path, tmp_path: Path):
    output = OutputOptions(formats=("md", "txt", "json"), documents=DocumentOptions(timestamps_in_text=True))
    Run(replace(PLAIN, output=output), tmp_path / "journal")([talk])
    assert "SPEAKER" not in talk.with_suffix(".md").read_text()
    run = Run(replace(BASE, output=output), tmp_path / "journal")
    run([talk])
    assert run.engines == []
    for ending in (".md", ".txt"):
        assert talk.with_suffix(ending).read_text().count("SPEAKER_01") == 1
    assert [one.status for one in Run(replace(BASE, output=output), tmp_path / "journal")([talk])] == [Status.SKIPPED]


def test_what_failed_for_copies_is_tried_again_for_each(talk: Path, tmp_path: Path):
    files = [talk, copy(talk, "other")]
    Run(journal=tmp_path / "journal")(files, diarizer=Broken)
    assert [written(file).speakers for file in files] == [None, None]
    again = Run(replace(BASE, journal=JournalOptions(retry_failed=True)), tmp_path / "journal")
    again(files)
    assert again.engines == []
    assert [labels(written(file)) for file in files] == [FOUND, FOUND]

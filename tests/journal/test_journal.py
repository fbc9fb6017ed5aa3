"""The journal itself: what it keeps, who may have what, and what becomes of a file that is not one."""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from whisperbatch.errors import RunError
from whisperbatch.journal import Journal, Key, Output, Recording, State, TextRecipe, default_path, sample
from whisperbatch.journal import schema as store_room

KEY = Key(Path("/in/talk.wav"), Path("/in"))
RECORDING = Recording(100, 5, "abc")
MAKING = TextRecipe.of("demo", "r1", {"task": "transcribe", "language": "en"})
TEXT = Output(Path("/in/talk.txt"), "txt", 7, 9)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "state" / "journal.sqlite3"


def finish(journal: Journal, key: Key = KEY, outputs: tuple[Output, ...] = (TEXT,)) -> None:
    entry = journal.claim(key).entry
    journal.intend(entry, RECORDING, MAKING, "talk", "en", [Output(o.path, o.format, intended="d") for o in outputs])
    journal.done(entry, outputs, 2.0, 0.5)


def test_what_is_done_is_known_to_the_next_run(place: Path):
    with Journal(place) as journal:
        assert journal.look(KEY) is None
        finish(journal)
    with Journal(place) as journal:
        entry = journal.look(KEY)
        assert entry is not None
        assert (entry.state, entry.run, entry.base, entry.language) == (State.DONE, None, "talk", "en")
        assert (entry.size, entry.mtime_ns, entry.sample, entry.recipe) == (100, 5, "abc", MAKING)
        assert (entry.audio_s, entry.wall_s, entry.attempts, entry.outputs) == (2.0, 0.5, 1, (TEXT,))
        assert journal.owner(TEXT.path) == KEY.path
        assert journal.owner(KEY.path) is None


def test_intent_and_failure_are_kept_until_the_file_is_done(place: Path):
    with Journal(place) as journal:
        entry = journal.claim(KEY).entry
        journal.intend(entry, RECORDING, MAKING, "talk", "en", [Output(TEXT.path, "txt", intended="digest")])
        known = journal.look(KEY)
        assert known is not None
        assert (known.state, known.outputs) == (State.WRITING, (Output(TEXT.path, "txt", intended="digest"),))
        journal.failed(entry, RECORDING, MAKING, "the disk is full", is_permanent=False)
        known = journal.look(KEY)
        assert known is not None
        assert (known.state, known.error, known.attempts, known.run) == (State.FAILED, "the disk is full", 1, None)
        finish(journal)
        known = journal.look(KEY)
        assert known is not None
        assert (known.state, known.error, known.attempts, known.outputs) == (State.DONE, None, 2, (TEXT,))


def test_names_are_bytes(place: Path):
    key = Key(Path(os.fsdecode(b"/in/\xff\n.wav")), Path(os.fsdecode(b"/\xfe")))
    with Journal(place) as journal:
        finish(journal, key, (Output(Path(os.fsdecode(b"/\xfe/\xff.txt")), "txt", 1, 2),))
        entry = journal.look(key)
        assert entry is not None
        assert entry.key == key
        assert [e.key for e in journal.entries([Path("/in")])] == [key]
        assert list(journal.entries([Path("/in/other")])) == []


def test_a_claim_is_one_runs_until_it_ends(place: Path):
    with Journal(place) as one, Journal(place) as other:
        assert one.claim(KEY).is_ours
        assert one.claim(KEY).is_ours  # again: it is the same run
        claim = other.claim(KEY)
        assert not claim.is_ours
        assert other.is_claimed(claim.entry)
        one.release(claim.entry)
        assert other.claim(KEY).is_ours
    assert [path.name for path in place.parent.iterdir()] == ["journal.sqlite3"]


def test_a_closed_run_gives_its_claims_back(place: Path):
    with Journal(place) as other:
        with Journal(place) as one:
            one.claim(KEY)
        assert other.claim(KEY).is_ours


@pytest.mark.skipif(os.name == "nt", reason="kills")
def test_a_killed_runs_claim_is_void_and_its_lock_is_cleared_away(place: Path):
    script = (
        "import sys\nfrom pathlib import Path\nfrom whisperbatch.journal import Journal, Key\n"
        "journal = Journal(Path(sys.argv[1]))\njournal.claim(Key(Path('/in/talk.wav'), Path('/in')))\n"
        "print('claimed', flush=True)\nsys.stdin.read()\n"
    )
    holder = subprocess.Popen([sys.executable, "-c", script, str(place)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with holder, Journal(place) as journal:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"claimed\n"
        assert not journal.claim(KEY).is_ours
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        claim = journal.claim(KEY)
        assert claim.is_ours
    with Journal(place):
        pass
    assert [path.name for path in place.parent.iterdir()] == ["journal.sqlite3"]


def test_threads_may_share_it(place: Path):
    keys = [Key(Path(f"/in/{i}.wav"), Path("/in")) for i in range(200)]
    with Journal(place) as journal:

        def work(mine: list[Key]) -> None:
            for key in mine:
                finish(journal, key, (Output(key.path.with_suffix(".txt"), "txt", 1, 2),))

        threads = [threading.Thread(target=work, args=(keys[i::4],)) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        entries = list(journal.entries())
    assert sorted(str(e.key.path) for e in entries) == sorted(str(key.path) for key in keys)
    assert all(len(e.outputs) == 1 for e in entries)


def test_what_a_killed_process_committed_is_there(place: Path):
    script = (
        "import os, sys\nfrom pathlib import Path\nfrom whisperbatch.journal import *\n"
        "journal = Journal(Path(sys.argv[1]))\nentry = journal.claim(Key(Path('/in/talk.wav'), Path('/in'))).entry\n"
        "journal.failed(entry, Recording(1, 2, None), TextRecipe('m', None, '{}'), 'why', is_permanent=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", script, str(place)], check=False)
    with Journal(place) as journal:
        entry = journal.look(KEY)
        assert entry is not None
        assert (entry.state, entry.error, entry.is_permanent) == (State.FAILED, "why", True)


def test_kept_clips_go_when_the_file_is_done(place: Path):
    with Journal(place) as journal:
        entry = journal.claim(KEY).entry
        journal.keep_clips([(entry, 3, "mark", "text"), (entry, 4, "mark", "more")])
        assert journal.kept_clips(entry) == {3: ("mark", "text"), 4: ("mark", "more")}
        finish(journal)
        assert journal.kept_clips(entry) == {}


def test_a_redo_that_was_interrupted_goes_on_from_its_own_beginning(place: Path):
    with Journal(place) as journal:
        began = journal.redo_since("scope")
        assert journal.redo_since("scope") == began
        journal.redo_over("scope")
        assert journal.redo_since("scope") > began


def test_what_is_forgotten_is_gone(place: Path):
    with Journal(place) as journal:
        finish(journal)
        entry = journal.look(KEY)
        assert entry is not None
        journal.forget(entry)
        assert journal.look(KEY) is None
        assert journal.owner(TEXT.path) is None


def test_what_is_claimed_or_ended_since_it_was_looked_at_is_not_forgotten(place: Path):
    with Journal(place) as journal, Journal(place) as other:
        finish(journal)
        before = journal.look(KEY)
        assert before is not None
        entry = other.claim(KEY).entry
        assert not journal.forget(before)  # the other run works on it
        other.done(entry, [TEXT], 1.0, 1.0)
        assert not journal.forget(before)  # and has done it now
        after = journal.look(KEY)
        assert after is not None
        assert journal.forget(after)
        assert journal.forget(after)  # nothing is known, as was wanted


def foreign(path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE note (text)")
    database.close()


def newer(path: Path) -> None:
    Journal(path).close()
    database = sqlite3.connect(path)
    database.execute("PRAGMA user_version = 1000")
    database.commit()
    database.close()


def damaged(path: Path) -> None:
    Journal(path).close()
    data = bytearray(path.read_bytes())
    data[100:3000] = b"\xaa" * 2900
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (
            lambda path: path.write_bytes(b"hello, this is a letter and no database " * 100),
            "this file is not a journal",
        ),
        (foreign, "another program"),
        (newer, "newer whisperbatch"),
        (damaged, "damaged"),
        (lambda path: path.mkdir(), "unable to open"),
    ],
    ids=["text", "foreign", "newer", "damaged", "folder"],
)
def test_what_is_no_journal_of_ours_is_told_in_a_sentence_and_left_alone(tmp_path: Path, make, sentence: str):
    path = tmp_path / "journal.sqlite3"
    make(path)
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(RunError, match=sentence) as caught:
        Journal(path)
    assert "--no-journal" in caught.value.message
    assert "\n" not in str(caught.value)
    assert (path.read_bytes() if path.is_file() else None) == before
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.skipif(os.geteuid() == 0 if hasattr(os, "geteuid") else True, reason="root may do anything")
def test_a_closed_folder_is_told(tmp_path: Path):
    (tmp_path / "closed").mkdir(mode=0o500)
    with pytest.raises(RunError, match="the journal cannot be used"):
        Journal(tmp_path / "closed" / "journal.sqlite3")


def test_runs_that_make_the_journal_at_the_same_moment_all_have_it(tmp_path: Path):
    places, gate = [tmp_path / f"journal-{n}" for n in range(40)], threading.Barrier(4)

    def make(_: int) -> None:
        for place in places:
            gate.wait(60)
            store_room.connect(place).close()

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(make, range(4))) == [None] * 4


def test_an_empty_file_becomes_a_journal(place: Path):
    place.parent.mkdir()
    place.touch()
    with Journal(place) as journal:
        finish(journal)


def test_an_older_journal_is_migrated_with_what_it_holds(place: Path):
    with Journal(place) as journal:
        finish(journal)
    steps = (*store_room.STEPS, "CREATE TABLE more (x);\nALTER TABLE file ADD COLUMN note TEXT;\n")
    database = store_room.connect(place, steps)
    assert database.execute("PRAGMA user_version").fetchone() == (len(steps),)
    assert database.execute("SELECT note FROM file").fetchall() == [(None,)]
    database.close()
    with pytest.raises(RunError, match="newer"):
        Journal(place)


def test_a_journal_of_before_contents_were_kept_is_migrated(place: Path):
    old = store_room.STEPS[: store_room.STEPS.index(store_room._CONTENT)]
    place.parent.mkdir()
    database = store_room.connect(place, old)
    database.execute(
        "INSERT INTO file (path, folder, state, base, size, mtime_ns, sample, model, revision, settings, changed)"
        " VALUES (?, ?, 'done', ?, 100, 5, 'abc', 'demo', 'r1', ?, 1.0)",
        (b"/in/talk.wav", b"/in", b"talk", MAKING.settings),
    )
    database.execute("INSERT INTO output VALUES (?, 1, 'json', 7, 9, NULL)", (b"/in/talk.json",))
    database.close()
    with Journal(place) as journal:
        (entry,) = journal.entries()
        assert (entry.key, entry.state, entry.content, entry.twin) == (KEY, State.DONE, None, None)
        (alike,) = journal.done_alike(Key(Path("/new/talk.wav"), Path("/new")), RECORDING, (MAKING,))
        assert (alike.key, [output.path.name for output in alike.outputs]) == (KEY, ["talk.json"])


JSON = Output(Path("/in/talk.json"), "json", 7, 9)
OTHER = Key(Path("/new/talk.wav"), Path("/new"))


@pytest.mark.parametrize(
    ("key", "recording", "recipe", "outputs", "is_found"),
    [
        (OTHER, RECORDING, MAKING, (TEXT, JSON), True),
        (KEY, RECORDING, MAKING, (TEXT, JSON), False),  # itself
        (OTHER, Recording(101, 5, "abc"), MAKING, (TEXT, JSON), False),
        (OTHER, Recording(100, 5, "abd"), MAKING, (TEXT, JSON), False),
        (OTHER, RECORDING, TextRecipe.of("demo", "r1", {"language": "de"}), (TEXT, JSON), False),
        (OTHER, RECORDING, MAKING, (TEXT,), False),
    ],
)
def test_files_of_the_same_size_and_sample_with_json_are_found(
    place: Path, key: Key, recording: Recording, recipe: TextRecipe, outputs: tuple[Output, ...], is_found: bool
):
    with Journal(place) as journal:
        finish(journal, outputs=outputs)
        assert bool(journal.done_alike(key, recording, (recipe,))) is is_found
        assert journal.knows_size(recording.size) is (recording.size == 100)


def test_the_digest_and_whose_transcript_it_is_are_kept_and_a_touch_leaves_no_false_proof(place: Path):
    sampled, twin = "sampled:abc", Path("/old/talk.wav")
    with Journal(place) as journal:
        for recording, after in (
            (Recording(100, 5, sampled, "d1", twin), "d1"),
            (Recording(100, 5, sampled), ""),  # unlike any digest
            (Recording(100, 5, "abc"), None),  # the sample is all of it
        ):
            entry = journal.claim(KEY).entry
            journal.intend(entry, recording, MAKING, "talk", "en", [TEXT])
            journal.done(entry, [TEXT], 2.0, 0.5)
            known = journal.look(KEY)
            assert known is not None
            assert (known.content, known.twin) == (recording.content, recording.twin)
            journal.touch(entry, Recording(100, 6, recording.sample))
            known = journal.look(KEY)
            assert known is not None
            assert (known.mtime_ns, known.content) == (6, after)


def test_a_claim_of_this_run_is_in_no_others_hand(place: Path):
    with Journal(place) as mine, Journal(place) as other:
        mine.claim(KEY)
        entry = mine.look(KEY)
        assert entry is not None
        assert (mine.is_claimed(entry), mine.is_claimed_by_other_run(entry), other.is_claimed_by_other_run(entry)) == (
            True,
            False,
            True,
        )


def test_a_migration_that_fails_leaves_the_journal_as_it_was(place: Path):
    Journal(place).close()
    with pytest.raises(RunError):
        store_room.connect(place, (*store_room.STEPS, "CREATE TABLE more (x);\nnonsense;\n"))
    Journal(place).close()


def test_it_lies_in_the_users_state_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    if sys.platform not in ("win32", "darwin"):
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
        assert default_path() == tmp_path / "whisperbatch" / "journal.sqlite3"
        monkeypatch.setenv("XDG_STATE_HOME", "relative")  # the specification has it ignored
        assert default_path().is_relative_to(Path.home())


def test_settings_that_are_the_default_say_nothing():
    defaults = {"task": "transcribe", "prompt": None, "marks": ()}
    one = TextRecipe.of("demo", "r", {"task": "transcribe", "language": "de", "marks": (1, 2)}, defaults)
    assert one == TextRecipe.of("demo", "r", {"language": "de", "marks": [1, 2], "prompt": None}, defaults)
    assert not one.agrees(TextRecipe.of("demo", "r", {"language": "en", "marks": [1, 2]}, defaults))


@pytest.mark.parametrize(
    ("other", "agrees"),
    [
        (TextRecipe("turbo", "r1", "{}"), True),
        (TextRecipe("openai/whisper-large-v3-turbo", "r1", "{}"), True),  # another name for the same weights
        (TextRecipe("turbo", "r2", "{}"), False),
        (TextRecipe("turbo", None, "{}"), True),  # not known yet
        (TextRecipe("small", None, "{}"), False),
        (TextRecipe("turbo", "r1", '{"language": "de"}'), False),
    ],
)
def test_weights_are_told_by_their_revision(other: TextRecipe, agrees: bool):
    assert TextRecipe("turbo", "r1", "{}").agrees(other) is agrees


def test_a_sample_tells_files_apart_and_reads_little(tmp_path: Path):
    small, large = tmp_path / "small", tmp_path / "large"
    small.write_bytes(b"x" * 1000)
    large.write_bytes(os.urandom(3_000_000))
    before = sample(small), sample(large)
    assert len(before[0]) == 64
    assert before[1].startswith("sampled:")
    os.utime(small, (1, 1))
    assert sample(small) == before[0]
    small.write_bytes(b"x" * 999 + b"y")
    data = bytearray(large.read_bytes())
    data[-1] ^= 1
    large.write_bytes(data)
    assert sample(small) != before[0]
    assert sample(large) != before[1]

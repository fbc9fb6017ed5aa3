"""Files, folders, patterns and lists."""

import errno
import io
import os
import random
import threading
from pathlib import Path

import pytest

from whisperbatch.errors import UsageError
from whisperbatch.records import AudioFile, FileOptions
from whisperbatch.sources import from_list, from_paths
from whisperbatch.sources.folders import below


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in (
        *("b.wav", "a.MP3", "notes.txt", "a.json", ".hidden.wav", "~copy.wav", "half.wav.part", "film.mp4"),
        *("sub/c.flac", "sub/deep/d.ogg", ".cache/e.wav", "[x].wav"),
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"1234")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def names(sources, root: Path) -> list[str]:
    return [os.path.relpath(audio.path, root) for audio in sources]


def test_a_folder_is_walked_in_a_stable_order_without_what_is_no_recording(tree: Path):
    found = list(from_paths([tree]))
    assert names(found, tree) == ["[x].wav", "a.MP3", "b.wav", "film.mp4", "sub/c.flac", "sub/deep/d.ogg"]
    assert {audio.root for audio in found} == {tree}
    assert {audio.size for audio in found} == {4}
    assert all(audio.mtime_ns > 0 for audio in found)


def test_a_named_file_is_taken_whatever_its_extension_and_keeps_its_spelling(tree: Path):
    found = list(from_paths(["notes.txt", Path("sub/../b.wav")]))
    assert [(str(audio.path), audio.root) for audio in found] == [("notes.txt", None), ("sub/../b.wav", None)]


def test_a_file_reached_twice_counts_once(tree: Path):
    (tree / "link.wav").symlink_to(tree / "b.wav")
    assert names(from_paths(["b.wav", tree, "sub", "./b.wav"]), tree).count("b.wav") == 1
    assert "link.wav" not in names(from_paths(["b.wav", tree]), tree)


def test_patterns_that_the_shell_left(tree: Path):
    assert names(from_paths(["*.wav"]), tree) == ["[x].wav", "b.wav", "~copy.wav"]  # as a shell does
    assert names(from_paths(["**/*.flac"]), tree) == ["sub/c.flac"]
    assert names(from_paths(["s*"]), tree) == ["sub/c.flac", "sub/deep/d.ogg"]
    assert names(from_paths(["[x].wav"]), tree) == ["[x].wav"]
    with pytest.raises(UsageError, match=r"no file matches \*\.xyz"):
        from_paths(["*.xyz"])


def test_a_wrong_path_is_told_before_anything_is_done(tree: Path):
    with pytest.raises(UsageError, match=r"there is no file or folder gone\.wav"):
        from_paths(["b.wav", "gone.wav"])


def test_links_that_lead_back_up_do_no_harm(tree: Path):
    (tree / "sub" / "up").symlink_to(tree)
    assert len(list(from_paths([tree]))) == 6
    assert len(list(below(tree))) == 6  # not found again and again and then left out


def test_a_folder_that_cannot_be_read_is_told(tree: Path, monkeypatch: pytest.MonkeyPatch):
    scandir = os.scandir

    def refuse(path: str):  # chmod would not keep root out
        if Path(path).name == "sub":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    told: list[tuple[str, Path | None]] = []
    assert "b.wav" in names(below(tree, lambda text, path: told.append((text, path))), tree)
    assert told == [("this folder cannot be read: Permission denied", tree / "sub")]
    for files in (from_paths([tree]), from_list(io.BytesIO(b'{"path": "' + bytes(tree) + b'", "task": "translate"}'))):
        *others, closed = files  # what is in it is not done, and the exit code says so
        assert "b.wav" in names(others, tree)
        assert all(audio.options.fault is None for audio in others)
        assert (closed.path, closed.options.fault) == (tree / "sub", told[0][0])


@pytest.mark.parametrize("name", ["lost+found", "System Volume Information", "$RECYCLE.BIN", ".Trashes"])
def test_a_file_systems_own_folders_are_not_looked_into(tree: Path, monkeypatch: pytest.MonkeyPatch, name: str):
    before, scandir = names(from_paths([tree]), tree), os.scandir
    (tree / name).mkdir()
    (tree / name / "deleted.wav").write_bytes(b"RIFF")
    assert names(from_paths([tree]), tree) == before
    assert names(from_paths([tree / name]), tree) == [f"{name}/deleted.wav"]  # unless it is asked for

    def refuse(path: str):
        if Path(path).name == name:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert names(from_paths([tree]), tree) == before  # and no failure either


def test_hard_links_are_files_of_their_own(tree: Path):
    (tree / "twin.wav").hardlink_to(tree / "b.wav")
    assert {"b.wav", "twin.wav"} <= set(names(from_paths([tree, "b.wav"]), tree))
    assert names(from_paths([tree, "b.wav"]), tree).count("b.wav") == 1


def test_what_a_pattern_matches_keeps_its_place(tree: Path):
    found = {str(audio.path): audio.root for audio in from_paths(["**"])}
    assert {"b.wav", "sub/c.flac", "sub/deep/d.ogg"} <= set(found)
    assert set(found.values()) == {None}
    assert names(from_paths(["**/*.ogg", "sub/**/*.flac", "**/deep/**/d*"]), tree) == ["sub/deep/d.ogg", "sub/c.flac"]


def test_a_pattern_leaves_out_what_has_no_extension_unless_nothing_else_matches(tree: Path):
    (tree / "README").write_text("x")
    assert "README" not in names(from_paths(["*"]), tree)
    assert names(from_paths(["READ*"]), tree) == ["README"]


def test_links_that_lead_back_up_do_not_keep_a_pattern_busy(tree: Path):
    for n in range(3):  # glob itself would follow them 3 ** 40 times
        (tree / "sub" / f"up{n}").symlink_to(tree)
    assert names(from_paths(["**/*.flac"]), tree) == ["sub/c.flac"]


def test_names_that_are_not_utf8(tree: Path):
    odd = tree / os.fsdecode(b"\xff\xfe.wav")
    odd.touch()
    assert odd in [audio.path for audio in from_paths([tree])]
    assert [audio.path for audio in from_list(io.BytesIO(os.fsencode(odd) + b"\n"))] == [odd]


@pytest.mark.parametrize(
    ("data", "nul"),
    [
        (b"b.wav\nsub/c.flac\n", False),
        (b"b.wav\r\nsub/c.flac", False),
        (b"\xef\xbb\xbfb.wav\n\n  \nsub/c.flac\nb.wav\n", False),
        (b"b.wav\0sub/c.flac\0", True),
        (b"b.wav\0sub/c.flac", True),
    ],
)
def test_lists(tree: Path, data: bytes, nul: bool):
    assert [str(audio.path) for audio in from_list(io.BytesIO(data), nul=nul)] == ["b.wav", "sub/c.flac"]


def test_a_list_may_name_folders_and_what_is_not_there(tree: Path):
    found = list(from_list(io.BytesIO(b"sub\ngone.wav\n")))
    assert names(found, tree) == ["sub/c.flac", "sub/deep/d.ogg", "gone.wav"]
    assert (found[0].root, found[2].root, found[2].size) == (Path("sub"), None, 0)


def test_a_list_counts_from_its_base_and_each_file_once(tree: Path):
    data = b"c.flac\n./c.flac\n" + os.fsencode(tree / "b.wav") + b"\n../sub/c.flac\n"
    found = [audio.path for audio in from_list(io.BytesIO(data), base=tree / "sub")]
    assert found == [tree / "sub" / "c.flac", tree / "b.wav"]


def test_a_line_too_long_for_a_name_is_the_loaders_to_fail(tree: Path):
    long = "x" * 300 + ".wav"
    found = list(from_list(io.BytesIO(f"{long}\nb.wav\n".encode())))
    assert [(str(audio.path), audio.size) for audio in found] == [(long, 0), ("b.wav", 4)]


@pytest.mark.parametrize("folder", ["RIFF", "ID3 mixes", "FORM", "OggS", "fLaC"])
def test_a_folder_may_be_called_as_audio_begins(tree: Path, folder: str):
    assert [str(audio.path) for audio in from_list(io.BytesIO(f"{folder}/a.wav\n".encode()))] == [f"{folder}/a.wav"]


def test_short_names_with_nul_are_no_audio(tree: Path):
    assert [str(audio.path) for audio in from_list(io.BytesIO(b"a\0b\0c\0"), nul=True)] == ["a", "b", "c"]


@pytest.mark.parametrize("coding", ["utf-16-le", "utf-16-be"])
def test_a_utf16_list_is_told(tree: Path, coding: str):
    with pytest.raises(UsageError, match="UTF-16"):
        list(from_list(io.BytesIO("\ufeffb.wav\n".encode(coding))))


def test_odd_names_in_lists(tree: Path):
    for name in (" lead.wav", "tail.wav ", "new\nline.wav", "~x.wav", "-d.wav"):
        (tree / name).touch()
    data = b" lead.wav\0tail.wav \0new\nline.wav\0~x.wav\0-d.wav"
    assert [str(a.path) for a in from_list(io.BytesIO(data), nul=True)] == [
        " lead.wav", "tail.wav ", "new\nline.wav", "~x.wav", "-d.wav",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["garden.wav", "evening.flac", "station.mp3", "kitchen.m4a", "numbers.ogg"])
@pytest.mark.parametrize("nul", [False, True])
def test_audio_on_standard_input_is_told_apart(sample_audio: Path, name: str, nul: bool):
    with (sample_audio / name).open("rb") as stream, pytest.raises(UsageError, match="it must be a list of paths"):
        list(from_list(stream, nul=nul))


@pytest.mark.parametrize("nul", [False, True])
@pytest.mark.parametrize(
    "start",
    [
        *(
            b"RIFF\x24\x08 !WAVEfmt ",
            b"RF64\xff\xff\xff\xffWAVE",
            b"FORM\x01!!!AIFC",
            b"ID3\x04!",
            b"fLaC\x80",
            b"OggS\0",
        ),
        *(b"caff\0", b"#!AMR\n", b"\x1a\x45\xdf\xa3", b" \0 \x20ftypM4A ", b"\xff\xfb\x90d"),
    ],
)
def test_audio_is_known_by_its_first_bytes_alone(start: bytes, nul: bool):
    with pytest.raises(UsageError, match="it must be a list of paths"):
        list(from_list(io.BytesIO(start + b" and then what could be a list"), nul=nul))


def test_noise_and_a_forgotten_zero_flag_are_told(tree: Path):
    with pytest.raises(UsageError, match="it must be a list of paths"):
        list(from_list(io.BytesIO(random.Random(0).randbytes(200_000))))
    with pytest.raises(UsageError, match="use -0"):
        list(from_list(io.BytesIO(b"b.wav\0sub/c.flac\0")))


def test_a_path_comes_out_before_the_list_has_ended(tree: Path):
    reading, writing = os.pipe()
    with open(reading, "rb") as stream:  # noqa: PTH123  (a descriptor)
        source = from_list(stream)
        os.write(writing, b"b.wav\nsub/")
        assert str(next(source).path) == "b.wav"
        threading.Timer(0.1, lambda: (os.write(writing, b"c.flac\n"), os.close(writing))).start()
        assert [str(audio.path) for audio in source] == ["sub/c.flac"]


def asked(*lines: bytes) -> list[AudioFile]:
    return list(from_list(io.BytesIO(b"\n".join(lines) + b"\n")))


def test_a_line_of_json_asks_for_what_it_tells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.wav").write_bytes(b"x")
    line = b'{"path": "a.wav", "language": "German", "task": "translate", "prompt": "P", "output": "o", "format":"srt"}'
    (audio,) = asked(line)
    assert (audio.path, audio.size) == (Path("a.wav"), 1)
    assert audio.options == FileOptions("de", "translate", "P", Path("o"), ("srt",))
    (plain,) = asked(b'{"path": "a.wav", "language": null, "format": ["json"]}')
    assert plain.options == FileOptions(formats=("json",))


def test_json_and_plain_lines_may_be_mixed_and_a_brace_may_begin_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    for name in ("a.wav", "b.wav", '{"path": "a.wav"}'):
        (tmp_path / name).write_bytes(b"x")
    files = asked(b"a.wav", b'{"path": "a.wav"}', b'  {"path":"b.wav","language":"en"}')
    assert [str(f.path) for f in files] == ["a.wav", '{"path": "a.wav"}', "b.wav"]
    assert [f.options.language for f in files] == [None, None, "en"]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (b'{"path": "a.wav"', "not valid JSON at column 17"),
        (b'{"path": b.wav}', "not valid JSON at column 10"),
        (b'{"language": "de"}', 'with a "path"'),
        (b'{"path": 5}', 'with a "path"'),
        (b'{"path": ""}', '"path" is not a valid path'),
        (b'{"path": "a.wav", "prompt": "\\ud800"}', '"prompt" is not valid Unicode'),
        (b'{"path": "a.wav", "lang": "de"}', "unknown key 'lang'"),
        (b'{"path": "a.wav", "language": "klingon"}', "klingon"),
        (b'{"path": "a.wav", "language": 5}', '"language" must be a string'),
        (b'{"path": "a.wav", "task": "sing"}', "unknown task"),
        (b'{"path": "a.wav", "format": "odt"}', "unknown format"),
        (b'{"path": "a.wav", "format": 5}', '"format" must be'),
        (b"{" * 5000, "not valid JSON"),
        (b'{"path": "\xff"}', "not valid JSON"),
    ],
)
def test_a_bad_line_is_told_with_its_number_and_the_others_go_on(line: bytes, told: str):
    files = asked(b"first.wav", b"", line, b"last.wav")
    assert [str(f.path) for f in files] == ["first.wav", "standard input, line 3", "last.wav"]
    assert told in (files[1].options.fault or "")
    assert files[0].options.fault is files[2].options.fault is None


def test_what_is_wrong_with_a_list_is_said_with_its_name(tree: Path):
    (broken, _) = from_list(io.BytesIO(b"{,}\nb.wav\n"), name="lists/of.jsonl")
    assert (str(broken.path), broken.options.fault) == ("lists/of.jsonl, line 1", "not valid JSON at column 2")
    for data in (b"a\0b\n", b"\xff\xfea\0", b"fLaC\0", b"a.wav\n" * 2000 + b"x" * 70_000):
        with pytest.raises(UsageError, match=r"^talks\.txt (has|is|contains) "):
            list(from_list(io.BytesIO(data), name="talks.txt"))

"""Files with several audio tracks: which is taken, what is said of it, and all of them side by side."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from av.stream import Disposition

from loading import NO_VAD, SEQUENTIAL
from loading import load as clips_of
from runs import Run
from sounds import noise
from whisperbatch.audio.decode import Reader
from whisperbatch.audio.tracks import Track, names, notices, shortened, wanted
from whisperbatch.engine.fake import FakeEngine
from whisperbatch.errors import LoadError, UsageError
from whisperbatch.languages import LANGUAGES, tagged_language
from whisperbatch.options import LoadOptions, RunOptions, parse_track
from whisperbatch.pipeline.text_settings import settings_of
from whisperbatch.records import SAMPLE_RATE, AudioFile, ClipSettings
from whisperbatch.sources import from_paths

FILE = Path("film.mkv")
ENGLISH, GERMAN = Track(1, "en", is_default=True), Track(2, "de", "Kommentar")


@pytest.fixture(scope="module")
def garden(sample_audio: Path) -> np.ndarray:
    """English speech."""
    return np.concatenate(list(Reader(sample_audio / "garden.wav").blocks()))


@pytest.fixture(scope="module")
def bahnhof(sample_audio: Path) -> np.ndarray:
    """German speech."""
    return np.concatenate(list(Reader(sample_audio / "bahnhof.flac").blocks()))


def film(path: Path, *tracks: np.ndarray, tags: Sequence[dict[str, str]] = (), marks: Sequence[int] = ()) -> Path:
    """Tracks of int16 (n_samples,) or (n_channels, n_samples) with their tags and dispositions."""
    with av.open(str(path), "w") as container:
        streams = []
        for number, rows in enumerate(map(np.atleast_2d, tracks)):
            stream = container.add_stream("pcm_s16le", rate=SAMPLE_RATE, layout=("mono", "stereo")[len(rows) - 1])
            stream.metadata.update(tags[number] if tags else {})
            stream.disposition = Disposition(marks[number] if marks else 0)
            streams.append((stream, rows))
        for stream, rows in streams:
            data = np.ascontiguousarray(rows.T.reshape(1, -1))
            frame = av.AudioFrame.from_ndarray(data, format="s16", layout=stream.layout.name)
            frame.sample_rate = SAMPLE_RATE
            container.mux([*stream.encode(frame), *stream.encode(None)])
    return path


def taken(path: Path, track: str | None = None) -> np.ndarray:
    return np.concatenate(list(Reader(path, track=track).blocks()))


def test_the_best_track_is_the_one_that_ffmpeg_takes_and_never_a_commentary_unless_it_is_marked():
    def first(*tracks: Track) -> int:
        return wanted(tracks, None, FILE)[0].number

    assert first(Track(1), Track(2, is_default=True)) == 2
    assert first(Track(1), Track(2, n_channels=6)) == 2
    assert first(Track(1), Track(2)) == 1
    assert first(Track(1, is_default=True), Track(2, n_channels=6)) == 1
    assert first(Track(1, has_packets=False, is_default=True), Track(2)) == 2
    assert first(Track(1, is_aside=True), Track(2)) == 2
    assert first(Track(1, is_aside=True, is_default=True), Track(2)) == 1
    assert first(Track(1, is_readable=False), Track(2)) == 2
    assert [one.number for one in wanted([Track(1), Track(2), Track(3, is_default=True)], None, FILE)] == [3, 1, 2]


def test_a_number_a_language_or_all_choose():
    tracks = [ENGLISH, GERMAN, Track(3, "de")]
    assert wanted(tracks, "2", FILE) == [GERMAN]
    assert [one.number for one in wanted(tracks, "de", FILE)] == [2, 3]
    assert wanted(tracks, "all", FILE) == tracks
    for asked, told in (("fr", "none in French"), ("gsw", "none in gsw"), ("4", "no track 4")):
        with pytest.raises(LoadError) as caught:
            wanted(tracks, asked, FILE)
        listed = 'has 3 audio tracks: 1 (English), 2 (German, "Kommentar"), 3 (German), and '
        assert (caught.value.message, caught.value.path) == (listed + told, FILE)
    with pytest.raises(LoadError, match="has 1 audio track: 1, and no track 2"):
        wanted([Track(1)], "2", FILE)
    with pytest.raises(LoadError, match="cannot be decoded"):
        wanted([ENGLISH, replace(GERMAN, is_readable=False)], "2", FILE)


def test_what_is_said_names_all_tracks_and_the_one_that_was_taken():
    both = [ENGLISH, GERMAN]
    listed = '2 audio tracks: 1 (English), 2 (German, "Kommentar"); '
    assert notices([ENGLISH], [ENGLISH], [ENGLISH]) == []
    assert notices(both, [ENGLISH], []) == [listed + "track 1 was taken (--track takes another)"]
    assert notices(both, [GERMAN], [], is_chosen=True) == [listed + "track 2 was taken"]
    assert notices(both, [GERMAN], [ENGLISH]) == [listed + "no speech was found in track 1, so track 2 was taken"]
    assert notices(both, [ENGLISH], both) == [listed + "no speech was found in tracks 1 and 2"]
    assert notices(both, both, []) == [listed + "all were transcribed"]


def test_tracks_are_called_by_title_or_language_or_else_by_number():
    assert names([ENGLISH, GERMAN]) == ["English", "Kommentar"]
    assert names([ENGLISH, Track(2, "en")]) == ["TRACK1", "TRACK2"]
    assert names([ENGLISH, Track(3)]) == ["TRACK1", "TRACK3"]
    assert shortened(" a\n\x1b[31mb\u202e ") == "a [31mb"
    assert len(shortened("x" * 1000)) == 60


@pytest.mark.parametrize(
    ("given", "track"),
    [
        *[(None, None), (2, "2"), ("02", "2"), ("all", "all"), ("ALL", "all"), ("de", "de"), ("ger", "de")],
        *[("deu", "de"), ("German", "de"), ("de-AT", "de"), ("pt_BR", "pt"), ("jpn", "ja"), ("gsw", "gsw")],
    ],
)
def test_a_track_is_spelled_in_one_way(given: str | int | None, track: str | None):
    assert parse_track(given) == track
    assert LoadOptions(track=track).track == track


@pytest.mark.parametrize("given", ["0", "-1", "", "1.5", "klingon", "und", "deutsch!", 0])
def test_a_track_that_makes_no_sense_is_refused(given: str | int):
    with pytest.raises(UsageError, match="`track`"):
        parse_track(given)
    with pytest.raises(UsageError, match="`track`"):
        LoadOptions(track=str(given))


def test_every_language_that_whisper_knows_is_found_by_its_own_code():
    assert {code: tagged_language(code) for code in LANGUAGES} == {code: code for code in LANGUAGES}
    assert [tagged_language(tag) for tag in ("", "und", "fre", "fra", "nob", "gsw")] == [
        "",
        "",
        "fr",
        "fr",
        "no",
        "gsw",
    ]


@pytest.mark.parametrize("suffix", ["mkv", "mov"])
def test_a_track_is_read_by_its_number_or_language(tmp_path: Path, suffix: str):
    one, two, three = noise(1), noise(1, seed=1), noise(1, seed=2)
    tags = [{"language": "eng"}, {"language": "ger"}, {}]
    path = film(tmp_path / f"x.{suffix}", one, two, three, tags=tags)
    for track, samples in (("1", one), ("2", two), ("3", three), ("de", two), ("all", one)):
        assert np.array_equal(taken(path, track), samples)
    reader = Reader(path, track="de")
    assert list(reader.blocks())
    assert [one.language for one in reader.tracks] == ["en", "de", ""]


def test_a_commentary_is_left_for_the_main_track(tmp_path: Path):
    main, aside = noise(1), noise(1, seed=1)
    marks = [Disposition.comment, Disposition(0)]
    assert np.array_equal(taken(film(tmp_path / "x.mkv", aside, main, marks=marks)), main)
    marks = [Disposition.comment | Disposition.default, Disposition(0)]
    assert np.array_equal(taken(film(tmp_path / "y.mkv", aside, main, marks=marks)), aside)


@pytest.mark.parametrize("settings", [ClipSettings(), SEQUENTIAL])
def test_where_the_first_track_has_no_speech_the_next_is_taken(tmp_path: Path, garden: np.ndarray, settings):
    path = film(tmp_path / "x.mkv", noise(5), np.zeros(16_000, np.int16), garden)
    options = LoadOptions(spool_dir=tmp_path / "spool")
    clips, last = clips_of(path, settings, options=options)
    alone, plain = clips_of(film(tmp_path / "y.mkv", garden), settings, options=options)
    assert [(c.start_s, c.speech, c.channel) for c in clips] == [(c.start_s, c.speech, c.channel) for c in alone]
    assert all(np.array_equal(one.samples[:], two.samples[:]) for one, two in zip(clips, alone, strict=True))
    assert (last.duration_s, last.speech_s) == (plain.duration_s, plain.speech_s)
    told = "3 audio tracks: 1, 2, 3; no speech was found in tracks 1 and 2, so track 3 was taken"
    assert (last.notices, plain.notices) == ((told,), ())


@pytest.mark.parametrize("settings", [ClipSettings(), SEQUENTIAL])
def test_where_no_track_has_speech_the_first_is_taken(tmp_path: Path, settings: ClipSettings):
    path = film(tmp_path / "x.mkv", noise(5), noise(4, seed=1))
    clips, last = clips_of(path, settings, options=LoadOptions(spool_dir=tmp_path / "spool"))
    assert len(clips) == (settings is SEQUENTIAL)
    assert all(np.array_equal(clip.samples[:], noise(5)) for clip in clips)
    assert (last.duration_s, last.speech_s) == (5.0, 0.0)
    assert last.notices == ("2 audio tracks: 1, 2; no speech was found in tracks 1 and 2",)


def test_without_speech_detection_and_where_a_track_is_asked_for_no_other_is_tried(tmp_path: Path, garden: np.ndarray):
    path = film(tmp_path / "x.mkv", noise(5), garden)
    (clip,), last = clips_of(path, speech=NO_VAD)
    assert np.array_equal(clip.samples, noise(5))
    assert last.notices == ("2 audio tracks: 1, 2; track 1 was taken (--track takes another)",)
    clips, last = clips_of(path, options=LoadOptions(track="1"))
    assert (clips, last.notices) == ([], ("2 audio tracks: 1, 2; no speech was found in track 1",))


@pytest.mark.parametrize("settings", [ClipSettings(), SEQUENTIAL])
def test_all_tracks_are_channels_of_one_file(tmp_path: Path, garden: np.ndarray, bahnhof: np.ndarray, settings):
    tags = [{"title": "Game"}, {"language": "eng"}, {"language": "ger", "title": "Gast"}]
    path = film(tmp_path / "x.mkv", noise(20), garden, bahnhof, tags=tags)
    options = LoadOptions(spool_dir=tmp_path / "spool", track="all")
    clips, last = clips_of(path, settings, options=options)
    assert last.channel_names == ("Game", "English", "Gast")
    assert last.duration_s == 20.0
    assert {clip.channel for clip in clips} == ({1, 2} if settings is not SEQUENTIAL else {0, 1, 2})
    for channel, samples in ((1, garden), (2, bahnhof)):
        own = [clip for clip in clips if clip.channel == channel]
        alone, _ = clips_of(film(tmp_path / "y.mkv", samples), settings, options=replace(options, track=None))
        assert [(c.start_s, c.speech, c.joins) for c in own] == [(c.start_s, c.speech, c.joins) for c in alone]
        assert all(np.array_equal(one.samples[:], two.samples[:]) for one, two in zip(own, alone, strict=True))
    assert sorted(clip.index for clip in clips) == list(range(last.n_clips))
    assert all(clip.vote is None for clip in clips)  # they are tagged with two languages


def test_all_tracks_of_one_language_vote_together_and_may_be_named(tmp_path: Path, garden: np.ndarray):
    path = film(tmp_path / "x.mkv", garden, garden)
    clips, last = clips_of(path, options=LoadOptions(track="all", channel_names=("host", "guest", "third")))
    assert sorted(clip.vote for clip in clips if clip.vote) == [(0, 2), (1, 2)]
    assert last.channel_names == ("host", "guest")
    _, last = clips_of(path, options=LoadOptions(track="all"))
    assert last.channel_names == ("TRACK1", "TRACK2")


def test_channels_of_all_tracks_may_be_kept_apart(tmp_path: Path, garden: np.ndarray):
    path = film(tmp_path / "x.mkv", np.stack([garden, garden]), garden, tags=[{"title": "Call"}, {"title": "Room"}])
    clips, last = clips_of(path, options=LoadOptions(track="all", channels="split"))
    assert sorted(clip.channel for clip in clips) == [0, 1, 2]
    assert last.channel_names == ("Call LEFT", "Call RIGHT", "Room")


def test_all_of_one_track_is_that_track(tmp_path: Path, garden: np.ndarray):
    clips, last = clips_of(film(tmp_path / "x.mkv", garden), options=LoadOptions(track="all"))
    assert ({clip.channel for clip in clips}, last.notices, last.channel_names) == ({None}, (), ())


def test_a_track_that_is_not_there_is_told_in_a_sentence(tmp_path: Path):
    path = film(tmp_path / "x.mkv", noise(1), noise(1), tags=[{"language": "eng"}, {"title": "B\x07side"}])
    with pytest.raises(LoadError) as caught:
        clips_of(path, options=LoadOptions(track="fr"))
    assert caught.value.message == 'has 2 audio tracks: 1 (English), 2 ("B side"), and none in French'
    assert caught.value.path == path


def test_the_second_loader_has_one_track(tmp_path: Path):
    import soundfile

    path = tmp_path / "x.mat"
    soundfile.write(path, noise(1), SAMPLE_RATE, format="MAT5", subtype="PCM_16")
    assert len(taken(path, "1")) == SAMPLE_RATE
    with pytest.raises(LoadError, match="has 1 audio track: 1, and no track 2"):
        taken(path, "2")


def test_a_transcript_of_all_tracks_is_merged_by_time_with_their_names(tmp_path: Path, garden: np.ndarray):
    path = film(tmp_path / "x.mkv", garden, garden, tags=[{"title": "Host"}, {"title": "Guest"}])
    made = RunOptions()
    options = replace(made, load=LoadOptions(1, track="all"), output=replace(made.output, write=False))
    (outcome,) = Run(from_paths([path]), FakeEngine(8), options).end()
    transcript = outcome.transcript
    assert transcript is not None
    assert {segment.channel for segment in transcript.segments} == {"Host", "Guest"}
    assert [s.start_s for s in transcript.segments] == sorted(s.start_s for s in transcript.segments)
    assert transcript.warnings == ('2 audio tracks: 1 ("Host"), 2 ("Guest"); all were transcribed',)
    assert transcript.settings["track"] == "all"


def test_a_file_is_done_anew_for_another_track_and_not_for_the_option_being_there():
    audio = AudioFile(FILE)
    assert "track" not in settings_of(RunOptions(), audio)
    assert settings_of(RunOptions(load=LoadOptions(track="2")), audio)["track"] == "2"


def spoiled(path: Path, n_track: int, *tracks: np.ndarray) -> Path:
    """Tracks, one of which is FLAC with nothing in it that decodes."""
    with av.open(str(path), "w") as container:
        packets = []
        for samples in tracks:
            stream = container.add_stream("flac", SAMPLE_RATE, layout="mono")
            frame = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
            frame.sample_rate = SAMPLE_RATE
            packets += [*stream.encode(frame), *stream.encode(None)]
        container.mux([packet for packet in packets if packet.size])
    data = path.read_bytes()
    with av.open(str(path)) as container:
        for packet in container.demux(audio=n_track - 1):
            data = data.replace(bytes(packet), bytes(packet.size)) if packet.size else data
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("settings", [ClipSettings(), SEQUENTIAL])
@pytest.mark.parametrize("track", [None, "all"])
def test_a_track_of_which_nothing_decodes_costs_no_other(tmp_path: Path, garden: np.ndarray, settings, track):
    options = LoadOptions(spool_dir=tmp_path / "spool", track=track)
    for n_track, asked in ((1, track), (2, track)):
        path = spoiled(
            tmp_path / f"{n_track}.mkv", n_track, *((noise(3), garden) if n_track == 1 else (garden, noise(3)))
        )
        (clip,), last = clips_of(path, settings, options=options)
        assert np.array_equal(clip.samples[:], clips_of(film(tmp_path / "y.mkv", garden), settings)[0][0].samples[:])
        told = f"damaged: track {n_track} contains audio, but none of it can be decoded"
        assert last.damage == (None if n_track == 2 and asked is None else told)
    path = spoiled(tmp_path / "one.mkv", 1, garden)
    with pytest.raises(LoadError, match="none of it can be decoded"):
        clips_of(path, settings, options=options)
    with pytest.raises(LoadError, match="none of it can be decoded"):
        clips_of(tmp_path / "2.mkv", settings, options=replace(options, track="2"))

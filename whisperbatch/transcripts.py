"""Join the texts of a file's clips into one transcript: offsets, order, completeness.

The texts may arrive in any order; the transcript is the same. Pure and without locks: callers lock.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from whisperbatch.languages import LANGUAGES
from whisperbatch.records import NOTHING_HEARD, AudioFile, ClipText, FileLoaded, Segment, Transcript, Word

FRAMES_A_SECOND = 100  # what openai-whisper's ``seek`` counts
N_DECIMALS = 3  # a clip starts at a sample, and the sum of two floats has noise

Pairs = tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class _Place:
    """The position of a clip in its file.

    ``quiets`` has, for each join, ``(from_s, at_s, to_s)``: the silence around it.
    """

    start_s: float
    duration_s: float
    joins: Pairs
    quiets: tuple[tuple[float, float, float], ...]
    channel: int | None

    def at_s(self, seconds: float, *, is_end: bool = False) -> float:
        """Convert a time in the clip to a time in the file; at a join, an end is before the pause, others after it."""
        skipped_s = 0.0
        for join_s, so_far_s in self.joins:
            if join_s > seconds or (is_end and join_s == seconds):
                break
            skipped_s = so_far_s
        return self.start_s + seconds + skipped_s

    def clear_of_pauses(self, start_s: float, end_s: float) -> tuple[float, float]:
        """Trim a segment's times by the part of a pause that they only just reach into.

        Trap: segments often touch each other; without this, one would be shown throughout a pause that was left out.
        """
        for from_s, join_s, to_s in self.quiets:
            if from_s <= start_s < join_s < end_s:
                start_s = join_s
            elif start_s < join_s < end_s <= to_s:
                end_s = join_s
        return start_s, end_s


class Assembly:
    """Collects the texts of one file's clips."""

    def __init__(self, audio: AudioFile) -> None:
        """Start without any clip."""
        self._audio = audio
        self._expected: dict[int, _Place] = {}
        self._texts: dict[int, ClipText] = {}
        self._loaded: FileLoaded | None = None

    def expect(
        self,
        index: int,
        start_s: float,
        duration_s: float,
        *,
        joins: Pairs = (),
        speech: Pairs = (),
        channel: int | None = None,
    ) -> None:
        """Announce a clip and its position in the file; arguments as in ``Clip``."""
        assert index not in self._expected
        quiets = tuple(
            (
                max((end_s for _, end_s in speech if end_s <= at_s), default=0.0),
                at_s,
                min((begin_s for begin_s, _ in speech if begin_s >= at_s), default=duration_s),
            )
            for at_s, _ in joins
            if speech
        )
        self._expected[index] = _Place(start_s, duration_s, joins, quiets, channel)

    def add(self, text: ClipText) -> float:
        """Add a clip's text; return the clip's length in seconds."""
        assert text.index in self._expected
        assert text.index not in self._texts
        self._texts[text.index] = text
        return self._expected[text.index].duration_s

    def in_file_time(self, index: int, segments: Sequence[Segment]) -> list[dict[str, Any]]:
        """Return segments of a clip that is still being decoded, in the file's time, as plain values."""
        place = self._expected[index]
        limit_s = place.at_s(place.duration_s, is_end=True)
        moved = (_moved(segment, place, limit_s) for segment in segments if segment.text.strip())
        return [{"start": one.start_s, "end": one.end_s, "text": one.text} for one in moved]

    def loaded(self, last: FileLoaded) -> None:
        """Note that the file is loaded and no more clips will come."""
        assert last.n_clips == len(self._expected)
        self._loaded = last

    def channel_name(self, channel: int | None, names: Sequence[str]) -> str | None:
        """Return the name of a channel of the loaded file in its segments; ``names`` are the run's."""
        assert self._loaded is not None
        return _channel_name(channel, self._loaded.channel_names or names)

    @property
    def complete(self) -> bool:
        """True once the file is loaded and every clip has its text."""
        return self._loaded is not None and len(self._texts) == len(self._expected)

    def build(
        self,
        *,
        model: str,
        revision: str | None,
        settings: Mapping[str, Any],
        sha256: str | None = None,
        channel_names: Sequence[str] = (),
    ) -> Transcript:
        """Return the transcript of the complete file.

        Channels have the file's own names, else ``channel_names``; further ones are CH3, CH4 and so on.
        """
        assert self.complete
        assert self._loaded is not None
        keeps_blanks = settings.get("long_form") == "sequential"  # as openai-whisper does
        language, probability = self._language(settings.get("language"), keeps_blanks)
        speech_s = self._loaded.speech_s
        return Transcript(
            language=language,
            segments=self._segments(keeps_blanks, self._loaded.channel_names or channel_names),
            duration_s=round(self._loaded.duration_s, N_DECIMALS),
            language_probability=probability,
            speech_s=None if speech_s is None else round(speech_s, N_DECIMALS),
            covered_s=self._covered_s(),
            size=self._audio.size or None,
            sha256=sha256,
            model=model,
            revision=revision,
            settings=settings,
            suspects=self._suspects(),
            warnings=self._warnings(),
        )

    def _warnings(self) -> tuple[str, ...]:
        assert self._loaded is not None
        has_text = any(segment.text.strip() for text in self._texts.values() for segment in text.segments)
        damage = (self._loaded.damage,) if self._loaded.damage else ()
        return (*damage, *self._loaded.notices, *self._language_shares(), *(() if has_text else (NOTHING_HEARD,)))

    def _language_shares(self) -> list[str]:
        """A sentence with the languages of a multilingual file, the most spoken first; else nothing."""
        seconds: dict[str, float] = {}
        for _, text in self._placed():
            for segment in _with_text(text):
                code, lasts_s = segment.language or text.language, segment.end_s - segment.start_s
                seconds[code] = seconds.get(code, 0.0) + lasts_s
        if len(seconds) < 2 or not self._is_multilingual():
            return []
        total_s = sum(seconds.values()) or 1.0
        ordered = sorted(seconds, key=lambda code: -seconds[code])
        shares = [f"{LANGUAGES[code].title()} ({seconds[code] / total_s:.0%})" for code in ordered]
        return [f"several languages: {', '.join(shares)}"]

    def _is_multilingual(self) -> bool:
        """True if some segment has a language of its own."""
        return any(segment.language is not None for text in self._texts.values() for segment in _with_text(text))

    def _placed(self) -> list[tuple[_Place, ClipText]]:
        """Each clip's position and text, in order."""
        return [(self._expected[index], text) for index, text in sorted(self._texts.items())]

    def _segments(self, keeps_blanks: bool, channel_names: Sequence[str]) -> tuple[Segment, ...]:
        """The segments of all clips in the file's time; those of several channels are merged."""
        assert self._loaded is not None
        segments: list[Segment] = []
        is_multilingual = self._is_multilingual()
        for place, text in self._placed():
            limit_s = min(place.at_s(place.duration_s, is_end=True), self._loaded.duration_s)
            name = _channel_name(place.channel, channel_names)
            kept = text.segments if keeps_blanks else _with_text(text)
            moved = [replace(_moved(segment, place, limit_s), channel=name) for segment in kept]
            if is_multilingual:
                moved = [replace(segment, language=segment.language or text.language) for segment in moved]
            segments += moved
        if any(place.channel is not None for place, _ in self._placed()):
            segments.sort(key=lambda segment: segment.start_s)
        return tuple(segments)

    def _covered_s(self) -> float | None:
        """Seconds of speech that have text; None unless known for all clips."""
        assert self._loaded is not None
        covered = [text.covered_s for _, text in self._placed()]
        if self._loaded.speech_s is None or None in covered:
            return None
        return round(sum(seconds for seconds in covered if seconds is not None), N_DECIMALS)

    def _suspects(self) -> tuple[Mapping[str, Any], ...]:
        """The suspects of all clips, in the file's time and in order."""
        suspects = [
            {
                **suspect,
                "start": round(place.at_s(suspect["start"]), N_DECIMALS),
                "end": round(place.at_s(suspect["end"], is_end=True), N_DECIMALS),
            }
            for place, text in self._placed()
            for suspect in text.suspects
        ]
        return tuple(sorted(suspects, key=lambda suspect: suspect["start"]))

    def _language(self, given: str | None, keeps_blanks: bool) -> tuple[str, float | None]:
        """The language of most of the speech, and its probability over the clips that agree; empty without text."""
        if given:
            return given, None
        seconds: dict[str, float] = {}
        voters: dict[str, list[tuple[float, float]]] = {}
        for place, text in self._placed():  # in order, since a sum of floats depends on it
            if not (with_text := _with_text(text)) and not keeps_blanks:
                continue
            seconds.setdefault(text.language, 0.0)
            for segment in with_text:
                code = segment.language or text.language
                seconds[code] = seconds.get(code, 0.0) + segment.end_s - segment.start_s
            if text.language_probability is not None:
                vote = place.duration_s, text.language_probability
                voters.setdefault(text.language, []).append(vote)
        if not seconds:
            return "", None
        language = max(sorted(seconds), key=lambda code: seconds[code])
        votes = voters.get(language, ())
        total_s = sum(weight for weight, _ in votes)
        return language, round(sum(w * p for w, p in votes) / total_s, 6) if total_s else None


def _with_text(text: ClipText) -> list[Segment]:
    """A clip's segments that have text."""
    return [segment for segment in text.segments if segment.text.strip()]


def _channel_name(channel: int | None, names: Sequence[str]) -> str | None:
    if channel is None:
        return None
    return names[channel] if channel < len(names) else f"CH{channel + 1}"


def _moved(segment: Segment, place: _Place, limit_s: float) -> Segment:
    """A clip's segment in the file's time, inside the clip's audio, without float noise.

    Trap: a short clip is padded to 30 s and the model may give times in the padding, where the next clip is.
    """

    def moved(start_s: float, end_s: float) -> tuple[float, float]:
        start_s, end_s = place.clear_of_pauses(start_s, max(start_s, end_s))
        start_s = round(min(place.at_s(start_s), limit_s), N_DECIMALS)
        end_s = round(min(place.at_s(end_s, is_end=True), limit_s), N_DECIMALS)
        return start_s, max(start_s, end_s)

    def moved_word(word: Word) -> Word:
        start_s, end_s = moved(word.start_s, word.end_s)
        return replace(word, start_s=start_s, end_s=end_s)

    start_s, end_s = moved(segment.start_s, segment.end_s)
    window_s = place.at_s(segment.seek / FRAMES_A_SECOND) - segment.seek / FRAMES_A_SECOND
    return replace(
        segment,
        start_s=start_s,
        end_s=end_s,
        seek=segment.seek + round(window_s * FRAMES_A_SECOND),
        words=None if segment.words is None else tuple(moved_word(word) for word in segment.words),
    )

"""The texts of a file's clips to one transcript: offsets, order, completeness.

Comes in: clips expected, texts in any order, the loader's last word. Goes out: a Transcript, the same whatever the
order of arrival. Pure; who calls locks. Who calls: the pipeline's board and stages.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from whisperbatch.records import AudioFile, ClipText, FileLoaded, Segment, Transcript

FRAMES_A_SECOND = 100  # what openai-whisper's ``seek`` counts
N_DECIMALS = 3  # a clip's start is a sample's, and the sum of two floats has noise


class Assembly:
    """One file's transcript as it grows."""

    def __init__(self, audio: AudioFile) -> None:
        """Expect nothing yet."""
        self._audio = audio
        self._expected: dict[int, tuple[float, float]] = {}  # index -> start_s, duration_s
        self._texts: dict[int, ClipText] = {}
        self._loaded: FileLoaded | None = None

    def expect(self, index: int, start_s: float, duration_s: float) -> None:
        """Say that a clip is on its way, and where it lies in the file."""
        assert index not in self._expected
        self._expected[index] = start_s, duration_s

    def add(self, text: ClipText) -> float:
        """Keep a clip's text; the seconds of audio that it covers."""
        assert text.index in self._expected
        assert text.index not in self._texts
        self._texts[text.index] = text
        return self._expected[text.index][1]

    def loaded(self, last: FileLoaded) -> None:
        """Say that no more clips come."""
        assert last.n_clips == len(self._expected)
        self._loaded = last

    @property
    def complete(self) -> bool:
        """Whether every clip of the whole file has its text."""
        return self._loaded is not None and len(self._texts) == len(self._expected)

    def build(
        self, *, model: str, revision: str | None, settings: Mapping[str, Any], sha256: str | None = None
    ) -> Transcript:
        """The transcript of the complete file."""
        assert self.complete
        assert self._loaded is not None
        language, probability = self._language(settings.get("language"))
        return Transcript(
            language=language,
            segments=self._segments(self._loaded.duration_s),
            duration_s=round(self._loaded.duration_s, N_DECIMALS),
            language_probability=probability,
            size=self._audio.size or None,
            sha256=sha256,
            model=model,
            revision=revision,
            settings=settings,
            warnings=(self._loaded.damage,) if self._loaded.damage else (),
        )

    def _segments(self, duration_s: float) -> tuple[Segment, ...]:
        """All clips' segments in the file's time, blank ones dropped."""
        segments: list[Segment] = []
        for index, text in sorted(self._texts.items()):
            start_s, clip_s = self._expected[index]
            limit_s = min(start_s + clip_s, duration_s)
            segments += [_moved(segment, start_s, limit_s) for segment in _heard(text)]
        return tuple(segments)

    def _language(self, given: str | None) -> tuple[str, float | None]:
        """The language of most of the heard audio, and its probability over the clips that agree; empty when silent."""
        if given:
            return given, None
        seconds: dict[str, float] = {}
        voters: dict[str, list[tuple[float, float]]] = {}
        for index, text in sorted(self._texts.items()):  # in order, since a sum of floats depends on it
            if not (heard := _heard(text)):
                continue
            heard_s = sum(segment.end_s - segment.start_s for segment in heard)
            seconds[text.language] = seconds.get(text.language, 0.0) + heard_s
            if text.language_probability is not None:
                vote = self._expected[index][1], text.language_probability
                voters.setdefault(text.language, []).append(vote)
        if not seconds:
            return "", None
        language = max(sorted(seconds), key=lambda code: seconds[code])
        votes = voters.get(language, ())
        total_s = sum(weight for weight, _ in votes)
        return language, round(sum(w * p for w, p in votes) / total_s, 6) if total_s else None


def _heard(text: ClipText) -> list[Segment]:
    """A clip's segments that have text."""
    return [segment for segment in text.segments if segment.text.strip()]


def _moved(segment: Segment, start_s: float, limit_s: float) -> Segment:
    """A clip's segment in the time of its file, inside the clip's audio, without float noise.

    Trap: the model pads a short clip to 30 s and may well give times in the padding, where the next clip lies.
    """

    def at_s(seconds: float) -> float:
        return round(min(start_s + seconds, limit_s), N_DECIMALS)

    words = segment.words
    if words is not None:
        words = tuple(replace(w, start_s=at_s(w.start_s), end_s=at_s(max(w.start_s, w.end_s))) for w in words)
    return replace(
        segment,
        start_s=at_s(segment.start_s),
        end_s=at_s(max(segment.start_s, segment.end_s)),
        seek=segment.seek + round(start_s * FRAMES_A_SECOND),
        words=words,
    )

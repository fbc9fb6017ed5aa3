"""The texts of a file's clips to one transcript: offsets, order, completeness.

Comes in: clips expected, texts in any order, the loader's last word. Goes out: a Transcript. Pure; who calls locks.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from whisperbatch.records import AudioFile, ClipText, FileLoaded, Segment, Transcript


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
        duration_s = self._loaded.duration_s
        segments: list[Segment] = []
        for index in sorted(self._texts):
            start_s = self._expected[index][0]
            segments += [_moved(s, start_s, duration_s) for s in self._texts[index].segments if s.text.strip()]
        language, probability = self._language(settings.get("language"))
        return Transcript(
            language=language,
            segments=tuple(segments),
            duration_s=round(duration_s, 3),
            language_probability=probability,
            size=self._audio.size or None,
            sha256=sha256,
            model=model,
            revision=revision,
            settings=settings,
            warnings=(self._loaded.damage,) if self._loaded.damage else (),
        )

    def _language(self, given: str | None) -> tuple[str, float | None]:
        """The language of most of the heard audio, and its probability over the clips that agree; empty when silent."""
        if given:
            return given, None
        seconds: dict[str, float] = {}
        for text in self._texts.values():
            heard_s = sum(s.end_s - s.start_s for s in text.segments if s.text.strip())
            if heard_s > 0:
                seconds[text.language] = seconds.get(text.language, 0.0) + heard_s
        if not seconds:
            return "", None
        language = max(sorted(seconds), key=lambda code: seconds[code])
        voters = [
            (self._expected[text.index][1], text.language_probability)
            for _, text in sorted(self._texts.items())
            if text.language == language and text.segments and text.language_probability is not None
        ]
        total_s = sum(weight for weight, _ in voters)
        return language, round(sum(w * p for w, p in voters) / total_s, 6) if total_s else None


def _moved(segment: Segment, start_s: float, duration_s: float) -> Segment:
    """A clip's segment in the time of its file, inside it, without float noise."""
    first = round(min(segment.start_s + start_s, duration_s), 3)
    last = round(min(max(segment.end_s + start_s, first), duration_s), 3)
    words = segment.words
    if words is not None:
        words = tuple(
            replace(w, start_s=round(w.start_s + start_s, 3), end_s=round(w.end_s + start_s, 3)) for w in words
        )
    return replace(segment, start_s=first, end_s=last, seek=segment.seek + round(start_s * 100), words=words)

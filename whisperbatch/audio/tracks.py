"""Choose among a file's audio tracks by ``LoadOptions.track``, and describe the choice.

Tracks are numbered from 1, counting audio tracks only.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from whisperbatch.errors import LoadError
from whisperbatch.languages import LANGUAGES, tagged_language
from whisperbatch.options import ALL_TRACKS

N_TITLE = 60  # characters of a title; those in files may have any length


@dataclass(frozen=True, slots=True)
class Track:
    """One audio track.

    Attributes:
        number: Its number, from 1.
        language: Whisper's code or another one; empty when the track has no language tag.
        title: Its title, shortened to one line.
        is_readable: Whether there is a decoder for it.
        has_packets: Whether its sample rate is known, which it is not for a track without any sound.
        is_default: Whether it is marked as default.
        is_aside: Whether it is marked as a commentary, or as a description for the blind.
        n_channels: The number of its channels.
    """

    number: int
    language: str = ""
    title: str = ""
    is_readable: bool = True
    has_packets: bool = True
    is_default: bool = False
    is_aside: bool = False
    n_channels: int = 1

    @property
    def description(self) -> str:
        """Its number, language and title: ``2 (German, "Commentary")``."""
        title = f'"{self.title}"' if self.title else ""
        known = ", ".join(filter(None, (_spelled(self.language), title)))
        return f"{self.number} ({known})" if known else str(self.number)


def of_stream(number: int, stream: Any) -> Track:
    """Return the Track of one of PyAV's audio streams."""
    context, marks = stream.codec_context, stream.disposition
    kinds = type(marks)  # this module does not import PyAV
    return Track(
        number,
        language=tagged_language(stream.language or ""),
        title=shortened(stream.metadata.get("title", "")),
        is_readable=context is not None,
        has_packets=context is not None and context.sample_rate > 0,  # a stream without packets has none
        is_default=bool(marks & kinds.default),
        is_aside=bool(marks & (kinds.comment | kinds.visual_impaired | kinds.descriptions)),
        n_channels=0 if context is None else context.channels,
    )


def shortened(title: str) -> str:
    """Return a title as one line without control characters, cut when it is long."""
    line = " ".join("".join(sign if sign.isprintable() else " " for sign in title).split())
    return line if len(line) <= N_TITLE else line[: N_TITLE - 1].rstrip() + "\u2026"


def wanted(tracks: Sequence[Track], choice: str | None, path: Path) -> list[Track]:
    """Return the tracks of a choice: for ``all`` in order; else the best first, and the others to fall back on.

    The best is the one that ffmpeg takes: marked as default, then with the most channels, then the first; but a
    commentary only where it is marked as default.

    Raises:
        LoadError: No track matches, or none of the matching ones can be decoded.
    """
    chosen = list(tracks)
    if choice is not None and choice != ALL_TRACKS:
        is_number = choice.isdigit()
        chosen = [one for one in tracks if (str(one.number) if is_number else one.language) == choice]
        if not chosen:
            missing = f"no track {choice}" if is_number else f"none in {_spelled(choice)}"
            raise LoadError(f"has {_listed(tracks)}, and {missing}", path)
    readable = [one for one in chosen if one.is_readable]
    if not readable:
        raise LoadError("contains audio in a format that cannot be decoded", path)
    if choice == ALL_TRACKS:
        return readable
    return sorted(readable, key=lambda one: (not one.has_packets, not one.is_default, one.is_aside, -one.n_channels))


def notices(
    tracks: Sequence[Track], taken: Sequence[Track], silent: Sequence[Track], *, is_chosen: bool = False
) -> list[str]:
    """Return notices about a file with several tracks.

    Args:
        tracks: All of its tracks.
        taken: Those that were transcribed.
        silent: Those in which no speech was found.
        is_chosen: Whether the user chose a track.
    """
    if len(tracks) < 2:
        return []
    if len(taken) > 1:
        what = "all were transcribed" if len(taken) == len(tracks) else f"{_numbers(taken)} were transcribed"
    elif taken[0] in silent:
        what = f"no speech was found in {_numbers(silent)}"
    elif silent:
        what = f"no speech was found in {_numbers(silent)}, so {_numbers(taken)} was taken"
    else:
        what = f"{_numbers(taken)} was taken" + ("" if is_chosen else " (--track takes another)")
    return [f"{_listed(tracks)}; {what}"]


def names(tracks: Sequence[Track]) -> list[str]:
    """Return the tracks' names in a transcript: titles or languages, or TRACK1 and so on where these are not unique."""
    own = [one.title or _spelled(one.language) for one in tracks]
    if all(own) and len({name.casefold() for name in own}) == len(own):
        return own
    return [f"TRACK{one.number}" for one in tracks]


def _spelled(language: str) -> str:
    """A language's English name, or its code."""
    return LANGUAGES[language].title() if language in LANGUAGES else language


def _listed(tracks: Sequence[Track]) -> str:
    described = ", ".join(one.description for one in tracks)
    return f"{len(tracks)} audio tracks: {described}" if len(tracks) > 1 else f"1 audio track: {described}"


def _numbers(tracks: Sequence[Track]) -> str:
    numbers = [str(one.number) for one in sorted(tracks, key=lambda one: one.number)]
    if len(numbers) == 1:
        return f"track {numbers[0]}"
    return f"tracks {', '.join(numbers[:-1])} and {numbers[-1]}"

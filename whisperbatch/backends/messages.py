"""What a crew and its members tell each other beside ``pipeline.Order`` and ``pipeline.Tiding``; all of it pickles."""

from dataclasses import dataclass
from pathlib import Path

from whisperbatch.errors import WhisperbatchError
from whisperbatch.options import JournalOptions, OutputOptions, RunOptions
from whisperbatch.pipeline import Order, Tiding


@dataclass(frozen=True, slots=True)
class Warm:
    """To a member: open the model now."""


@dataclass(frozen=True, slots=True)
class Rest:
    """To a member that wants a file: there is none for now, so finish what you have."""


@dataclass(frozen=True, slots=True)
class Drain:
    """To a member: finish what the engine holds, end the rest, and be over."""


@dataclass(frozen=True, slots=True)
class Wants:
    """From a member: it has room for one more file."""


@dataclass(frozen=True, slots=True)
class Blind:
    """From a member: it cannot see the folder of the file that it was given."""

    number: int
    folder: Path


@dataclass(frozen=True, slots=True)
class Over:
    """From a member: it does nothing more, because of the error, or because it was told to."""

    error: WhisperbatchError | None = None


ToMember = Order | Warm | Rest | Drain
FromMember = Tiding | Wants | Blind | Over


class MemberDiedError(Exception):
    """A member is gone without a word; the text says how."""


def members_options(options: RunOptions, *, device: str, n_load_workers: int) -> RunOptions:
    """What a member works by: it keeps no journal and writes nothing, and whether too many failed is not its to say."""
    from dataclasses import replace

    return replace(
        options,
        engine=replace(options.engine, device=device),
        load=replace(options.load, n_workers=n_load_workers),
        output=OutputOptions(write=False),
        journal=JournalOptions(use_journal=False),
        failures=replace(options.failures, max_failures=None, fail_fast=False),
    )

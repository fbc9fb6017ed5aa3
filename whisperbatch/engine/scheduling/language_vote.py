"""Decide a file's language or languages by the votes of its clips. Policy only: no torch.

Takes each voter's language probabilities and withdrawals; decides once every voter has voted or withdrawn.
"""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

# a vote can add a language to a file from this probability and these seconds of speech on: in 424 clips and pieces of
# real recordings in 14 languages, OpenAI's base was never wrong at this level
SURE, SURE_S = 0.9, 3.0

Vote = tuple[float, Mapping[str, float]]


@dataclass(slots=True)
class _Ballot:
    n_voters: int
    cast: dict[int, Sequence[Vote]] = field(default_factory=dict)  # empty if a voter withdrew


@dataclass(frozen=True, slots=True)
class Decision:
    """The decision of a file's clips.

    Attributes:
        language: Whisper's code of the language with the most weight.
        probability: Its mean probability over the voters.
        others: Codes of further languages that voters are sure of; if there are any, each clip has its own language.
    """

    language: str
    probability: float
    others: tuple[str, ...] = ()


class LanguageVotes:
    """The open and decided ballots of files; safe to call from any thread."""

    def __init__(self) -> None:
        """Start with no files."""
        self._lock = threading.Lock()
        self._ballots: dict[int, _Ballot] = {}
        self._decided: dict[int, Decision | None] = {}

    def expect(self, file_id: int, n_voters: int) -> None:
        """Open a file's ballot."""
        with self._lock:
            if file_id not in self._decided:
                self._ballots.setdefault(file_id, _Ballot(n_voters))

    def is_open(self, file_id: int) -> bool:
        """Return True if the file decides by vote and is undecided."""
        return file_id in self._ballots

    def cast(self, file_id: int, voter: int, votes: Sequence[Vote]) -> None:
        """Count a voter's votes: seconds of speech, and the probability of each language in them."""
        with self._lock:
            if file_id in self._ballots:
                self._count(file_id, voter, [(max(weight_s, 0.01), probs) for weight_s, probs in votes])

    def withdraw(self, file_id: int, voter: int) -> None:
        """Withdraw a voter that can't vote any more, so that no clip waits for it."""
        with self._lock:
            if file_id in self._ballots and voter not in self._ballots[file_id].cast:
                self._count(file_id, voter, ())

    def decision(self, file_id: int) -> Decision | None:
        """Return the decision; None while undecided, and if every voter withdrew."""
        return self._decided.get(file_id)

    def forget(self, file_id: int) -> None:
        """Drop a finished file."""
        with self._lock:
            self._ballots.pop(file_id, None)
            self._decided.pop(file_id, None)

    def _count(self, file_id: int, voter: int, votes: Sequence[Vote]) -> None:
        ballot = self._ballots[file_id]
        ballot.cast[voter] = votes
        if len(ballot.cast) < ballot.n_voters:
            return
        in_order = [vote for k in sorted(ballot.cast) for vote in ballot.cast[k]]  # a sum of floats depends on it
        self._decided[file_id] = _decided(in_order)
        del self._ballots[file_id]


def _decided(votes: Sequence[Vote]) -> Decision | None:
    if not votes:
        return None
    total_s = sum(weight_s for weight_s, _ in votes)
    sums = {code: sum(w * p[code] for w, p in votes) / total_s for code in votes[0][1]}
    best = max(sums, key=lambda code: sums[code])
    tops = [(weight_s, max(probs, key=lambda code: probs[code]), probs) for weight_s, probs in votes]
    sure = {code for weight_s, code, probs in tops if weight_s >= SURE_S and probs[code] >= SURE}
    return Decision(best, sums[best], tuple(sorted(sure - {best})))

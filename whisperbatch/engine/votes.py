"""Which language a file is in, by the votes of its clips. Policy only: no torch.

Comes in: each voter's language probabilities, and which voters died. Goes out: the decision, once all have voted. Who
calls: ``engine/continuous``.
"""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(slots=True)
class _Ballot:
    n_voters: int
    cast: dict[int, tuple[float, Mapping[str, float]] | None] = field(default_factory=dict)  # None: died


class Votes:
    """The open and decided ballots of files; any thread may call it."""

    def __init__(self) -> None:
        """No file yet."""
        self._lock = threading.Lock()
        self._ballots: dict[int, _Ballot] = {}
        self._decided: dict[int, tuple[str, float] | None] = {}

    def expect(self, file_id: int, n_voters: int) -> None:
        """Say that a file decides by vote."""
        with self._lock:
            if file_id not in self._decided:
                self._ballots.setdefault(file_id, _Ballot(n_voters))

    def holds(self, file_id: int) -> bool:
        """Whether the file decides by vote and has not decided yet."""
        return file_id in self._ballots

    def cast(self, file_id: int, voter: int, weight_s: float, probabilities: Mapping[str, float]) -> None:
        """Count a vote: the probability of each language, weighted by seconds of speech."""
        with self._lock:
            if file_id in self._ballots:
                self._count(file_id, voter, (max(weight_s, 0.01), probabilities))

    def die(self, file_id: int, voter: int) -> None:
        """Count a voter that can't vote any more, so that nobody waits for it."""
        with self._lock:
            if file_id in self._ballots and voter not in self._ballots[file_id].cast:
                self._count(file_id, voter, None)

    def decision(self, file_id: int) -> tuple[str, float] | None:
        """The language and its probability; None while undecided, and when every voter died."""
        return self._decided.get(file_id)

    def forget(self, file_id: int) -> None:
        """The file is done with."""
        with self._lock:
            self._ballots.pop(file_id, None)
            self._decided.pop(file_id, None)

    def _count(self, file_id: int, voter: int, vote: tuple[float, Mapping[str, float]] | None) -> None:
        ballot = self._ballots[file_id]
        ballot.cast[voter] = vote
        if len(ballot.cast) < ballot.n_voters:
            return
        votes = [ballot.cast[k] for k in sorted(ballot.cast)]  # in order, since a sum of floats depends on it
        alive = [one for one in votes if one is not None]
        total_s = sum(weight_s for weight_s, _ in alive)
        sums = {code: sum(w * p[code] for w, p in alive) / total_s for code in alive[0][1]} if alive else {}
        best = max(sums, key=lambda code: sums[code]) if sums else None
        self._decided[file_id] = None if best is None else (best, sums[best])
        del self._ballots[file_id]

"""Windows that are decoded side by side: slots, their caches, and one token more for all of them.

Comes in: encoded windows with their openings. Goes out: what was sampled in those that ended. Who calls:
``engine/runner``. All rows of a lane make one pass of the decoder a step, whatever their positions, temperatures and
languages; a slot whose window ended is taken by the next one.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from whisperbatch.engine.beams import Beams
from whisperbatch.engine.choices import Choices, Rows, agree, choose
from whisperbatch.engine.decoder import Decoder
from whisperbatch.engine.devices import Aside, Look, upload
from whisperbatch.engine.graphs import Graphs, Recorder
from whisperbatch.engine.requests import Sampled, Window
from whisperbatch.engine.rules import Rules
from whisperbatch.engine.slots import Slots
from whisperbatch.engine.stopwatch import Stopwatch
from whisperbatch.options import DecodeOptions

REACH = 32  # caches are read in whole multiples of so many positions
PREFILL = 8  # openings are padded to multiples of so many tokens


@dataclass(eq=False, slots=True)
class Seat:
    """A window in a slot.

    Attributes:
        window: Which one.
        opening: Tokens before the first sampled one; empty until it begins.
        temperature: Of this try; at 0 a group of several rows is a beam search.
        max_tokens: It ends when it has as many, opening included.
        keys: Of the noise, one a row; empty at temperature 0.
        silence: What the opening's pass told of silence, its row there; once it has begun.
        n_tokens: Tokens so far, opening included.
    """

    window: Window
    opening: Sequence[int] = ()
    temperature: float = 0.0
    max_tokens: int = 0
    keys: Sequence[int] = ()
    silence: tuple[Look, int] | None = None
    n_tokens: int = field(init=False)

    def __post_init__(self) -> None:
        """Nothing sampled yet."""
        self.n_tokens = len(self.opening)

    @property
    def no_speech_prob(self) -> float:
        """The probability that nothing is said; the host waits here for the opening's pass, and not when it begins."""
        assert self.silence is not None
        told, row = self.silence
        return told.tolist()[row]


class Shape(NamedTuple):
    """All that a pass depends on besides what the lane's tensors hold.

    Attributes:
        n_slots: How many take part, the first ones.
        reach: No row is as long.
        width: Candidates a row, for searches; 0 for none.
        draws: Whether a token a row is drawn.
        is_warm: Whether any row's temperature is above 0.
    """

    n_slots: int
    reach: int
    width: int
    draws: bool
    is_warm: bool


Seated = Sequence[tuple[int, Seat]]  # the used slots and who sits there


class _Step(NamedTuple):
    """A step that the device may still be at: who took part, how many tokens each then had, and who ended."""

    seated: Seated
    n_tokens: Sequence[int]
    signs: Look


class Lane:
    """Slots of ``n_group`` rows each; owned by the engine's thread."""

    def __init__(
        self,
        decoder: Decoder,
        rules: Rules,
        options: DecodeOptions,
        n_slots: int,
        n_group: int,
        stopwatch: Stopwatch | None = None,
        recorder: Recorder | None = None,
    ) -> None:
        """Make the caches; with a ``recorder`` passes are recorded and replayed."""
        self.n_group, self._stopwatch = n_group, stopwatch or Stopwatch()
        self.slots: Slots[Seat] = Slots(n_slots)
        self._decoder, self._rules = decoder, rules
        self._end, self._length_penalty = rules.end, options.length_penalty
        self._device, n_rows = decoder.device, n_slots * n_group
        n_room = decoder.n_context + 2
        self._caches = decoder.caches(n_slots, n_group)
        self._tokens = torch.full((n_rows, n_room), self._end, device=self._device)  # int64
        self._sums = torch.zeros(n_rows, device=self._device)
        self._keys = torch.zeros(n_rows, dtype=torch.int64, device=self._device)
        self._now = torch.zeros(3, n_slots, device=self._device)  # tokens, opening, temperature: whole numbers fit
        self._slots = torch.arange(n_slots, device=self._device)
        self._graphs = None if recorder is None else Graphs(recorder, n_slots, agree)
        self._beams = Beams(n_slots, n_group, n_room, options.patience, self._end, self._device)
        # a window that ended takes part in one more step, which must not change what is read of it
        self._is_ahead = self._device.type == "cuda" and self._beams.n_kept >= n_group
        self._before: _Step | None = None
        self._aside = Aside(self._device)

    def take(self, windows: Sequence[Window], audio: Tensor) -> list[int]:
        """The slots that now hear these windows; ``audio`` is (n_windows, n_audio, d_model)."""
        slots = [self.slots.put(Seat(window)) for window in windows]
        self._decoder.hear(self._caches, self._ints(slots), audio)
        return slots

    def guess(self, slots: Sequence[int], start: int, languages: Sequence[int]) -> list[list[float]]:
        """The probability of each language in each slot, after the token ``start`` alone."""
        tokens = torch.full((len(slots), 1), start, device=self._device)
        states = self._decoder.prefill(self._caches, self._ints(slots), self.n_group, tokens)
        return self._decoder.logits(states[:, 0])[:, list(languages)].softmax(dim=-1).tolist()

    def begin(self, seats: Sequence[tuple[int, Seat]], start: int, no_speech: int) -> None:
        """Put openings into slots; each seat gets the probability of ``no_speech`` after its token ``start``."""
        n_longest = -(-max(seat.n_tokens for _, seat in seats) // PREFILL) * PREFILL
        opening = torch.full((len(seats), n_longest), self._end)
        for row, (_, seat) in zip(opening, seats, strict=True):
            row[: seat.n_tokens] = torch.tensor(seat.opening)
        opening, slots = upload(opening, self._device), self._ints([slot for slot, _ in seats])
        states = self._decoder.prefill(self._caches, slots, self.n_group, opening)
        at = self._ints([list(seat.opening).index(start) for _, seat in seats])
        silence = self._decoder.logits(states[torch.arange(len(seats), device=self._device), at]).softmax(dim=-1)
        rows = self._rows(slots).flatten()
        self._tokens[rows, :n_longest] = opening.repeat_interleave(self.n_group, dim=0)
        self._sums[rows] = 0.0
        self._beams.clear(slots)
        told = Look(silence[:, no_speech])
        for row, (slot, seat) in enumerate(seats):
            seat.silence = told, row
            self.slots.replace(slot, seat)
            if seat.keys:
                first = slot * self.n_group
                self._keys[first : first + len(seat.keys)] = self._ints(seat.keys)

    def step(self) -> list[tuple[int, Seat, Sampled]]:
        """One token more in every row; slot, seat and best candidate of each window that is known to have ended.

        On CUDA that is known one step late: the device is at the next step while the host looks at the last.
        """
        self._close_ranks()
        seated = list(self.slots)
        if not seated:
            return []
        shape = self._shape(seated)
        self._tell(seated, shape.n_slots)
        if self._graphs is None:
            choices = self._pass(shape, self._stopwatch)
        else:
            with self._stopwatch.stage("decoder"):
                choices = Choices(*self._graphs.run(shape, lambda: self._pass(shape, Stopwatch())))
        with self._stopwatch.stage("search"):
            self._append(seated, choices, shape)
        for _, seat in seated:
            seat.n_tokens += 1
        return self._ended(seated, shape.n_slots)

    def _shape(self, seated: Seated) -> Shape:
        """What the next pass of these seats is."""
        longest = max(seat.n_tokens for _, seat in seated)
        reach = self._decoder.n_context
        if self._caches.said.follows_reach:
            reach = min(-(-longest // REACH) * REACH, reach)
        searches = [self._searches(seat) for _, seat in seated]
        width = self.n_group + 1 if any(searches) else 0
        return Shape(
            self._padded(self.slots.n_spanned),
            reach,
            width,
            not all(searches),
            any(seat.temperature > 0 for _, seat in seated),
        )

    def _padded(self, n_slots: int) -> int:
        return n_slots if self._graphs is None else self._graphs.padded(n_slots)

    def _tell(self, seated: Seated, n_slots: int) -> None:
        """Put how far the seats are where a pass looks for it.

        Free slots stand at their first position: what a pass leaves in their caches, the opening of the next window
        there replaces before anything looks at it.
        """
        told = [(1, 1, 0.0)] * n_slots
        for slot, seat in seated:
            told[slot] = (seat.n_tokens, len(seat.opening), seat.temperature)
        self._now[:, :n_slots] = upload(torch.tensor(told, dtype=torch.float32), self._device).T

    def _pass(self, shape: Shape, stopwatch: Stopwatch) -> Choices:
        """What may come next in the rows of the first slots.

        What makes it fit to be recorded: its shapes follow from ``shape`` alone; it reads tensors that the lane keeps
        for life; it makes none out of the host's numbers, and no shape out of a tensor's; done twice, it writes the
        same keys and values to the same places.
        """
        now = self._now[:, : shape.n_slots].repeat_interleave(self.n_group, dim=1)
        n_tokens, n_opening = now[0].long(), now[1].long()
        tokens = self._tokens[: len(n_tokens)]
        last = tokens.gather(1, n_tokens[:, None] - 1)[:, 0]
        with stopwatch.stage("decoder"):
            logits = self._decoder.step(self._caches, shape.n_slots, self.n_group, last, n_tokens - 1, shape.reach)
        rows = Rows(tokens, n_tokens, n_opening, now[2] if shape.is_warm else None, self._keys[: len(tokens)])
        return choose(logits, rows, self._rules, stopwatch, width=shape.width, draws=shape.draws)

    def _append(self, seated: Seated, choices: Choices, shape: Shape) -> None:
        """Append the next token of every row."""
        searching = [slot for slot, seat in seated if self._searches(seat)]
        sampling = [slot for slot, seat in seated if not self._searches(seat)]
        every = self._slots[: shape.n_slots]  # free ones may be written to
        if sampling:
            self._sample(self._ints(sampling) if searching else every, choices)
        if searching:
            self._search(self._ints(searching) if sampling else every, choices, shape.reach)

    def discard(self, unwanted: Callable[[Window], bool]) -> list[Window]:
        """Free the slots of windows that ``unwanted`` picks; those."""
        return [seat.window for seat in self.slots.discard(lambda seat: unwanted(seat.window))]

    def close(self) -> None:
        """Give the caches back; whoever still holds the lane, or them, holds no memory."""
        for heard in self._caches.heard:
            heard.close()
        self._caches.said.close()
        if self._graphs is not None:
            self._graphs.close()

    def _searches(self, seat: Seat) -> bool:
        return seat.temperature == 0 and self.n_group > 1

    def _close_ranks(self) -> None:
        """Move the last slots into holes, so that the used ones are the first, where that makes a pass smaller."""
        if self._padded(self.slots.n_used) == self._padded(self.slots.n_spanned):
            return
        for source, target in self.slots.compact():
            for heard in self._caches.heard:
                heard.move(source, target)
            of = slice(source * self.n_group, (source + 1) * self.n_group)
            to = slice(target * self.n_group, (target + 1) * self.n_group)
            self._caches.said.move(of, to)
            for rows in (self._tokens, self._sums, self._keys):
                rows[to] = rows[of]
            self._beams.move(source, target)

    def _sample(self, slots: Tensor, choices: Choices) -> None:
        """Append the next token of greedy and sampled rows; rows that had ended get an end once more."""
        rows = self._rows(slots).flatten()
        n_tokens = self._now[0, slots].long().repeat_interleave(self.n_group)
        ended = self._tokens[rows, n_tokens - 1] == self._end
        self._sums[rows] += choices.logprobs[rows] * ~ended
        self._tokens[rows, n_tokens] = torch.where(ended, self._end, choices.drawn[rows])

    def _search(self, slots: Tensor, choices: Choices, reach: int) -> None:
        """One step of beam search; rows follow the beams they come from."""
        rows, now = self._rows(slots), self._now[:2, slots].long()  # (n, n_group), (2, n)
        n_tokens, is_first = now[0], now[0] == now[1]
        source, following, sums = self._beams.advance(
            slots, choices.best[rows], choices.tokens[rows], self._sums[rows], self._tokens[rows], n_tokens, is_first
        )
        origin, target = rows.gather(1, source).flatten(), rows.flatten()
        self._caches.said.follow(origin, target, reach)
        self._tokens[target] = self._tokens[origin]
        self._tokens[target, n_tokens.repeat_interleave(self.n_group)] = following.flatten()
        self._sums[target] = sums.flatten()

    def _ended(self, seated: Seated, n_slots: int) -> list[tuple[int, Seat, Sampled]]:
        """Those that are known to have ended; without a device that works on its own, all of them."""
        now = _Step(seated, [seat.n_tokens for _, seat in seated], Look(self._signs(n_slots)))
        before, self._before = self._before, now
        found = self._read(before) if before is not None and self._is_ahead else []
        if not self._is_ahead or any(seat.n_tokens >= seat.max_tokens for _, seat in seated):
            self._before = None
            known = {id(seat) for _, seat, _ in found}
            found += [one for one in self._read(now) if id(one[1]) not in known]
        return found

    def _signs(self, n_slots: int) -> Tensor:
        """Whether all rows of each of the first slots are at an end, and how many candidates have; int64 (2, n)."""
        at = self._now[0, :n_slots].long().repeat_interleave(self.n_group)
        last = self._tokens[: len(at)].gather(1, at[:, None])
        at_end = (last.view(n_slots, self.n_group) == self._end).all(dim=1)
        return torch.stack([at_end.long(), self._beams.n_ended(n_slots)])

    def _read(self, step: "_Step") -> list[tuple[int, Seat, Sampled]]:
        """Those that ended with a step, if they are still seated."""
        at_end, n_ended = step.signs.tolist()
        places = {id(seat): slot for slot, seat in self.slots}
        found = []
        for (then, seat), n_tokens in zip(step.seated, step.n_tokens, strict=True):
            is_done = n_ended[then] >= self._beams.n_kept if self._searches(seat) else at_end[then]
            if (is_done or n_tokens >= seat.max_tokens) and (slot := places.get(id(seat))) is not None:
                with self._aside.since(step.signs):
                    found.append((slot, seat, self._best(slot, seat)))
        return found

    def _best(self, slot: int, seat: Seat) -> Sampled:
        """The candidate of a window that ranks first, by openai-whisper's MaximumLikelihoodRanker."""
        rows = slice(slot * self.n_group, (slot + 1) * self.n_group)
        candidates = list(zip(self._tokens[rows].tolist(), self._sums[rows].tolist(), strict=True))
        if self._searches(seat):
            ended = self._beams.ended(slot)
            unended = sorted(candidates, key=lambda one: one[1])[::-1]  # ties as in a reversed argsort
            candidates = [*ended, *unended[: max(0, self.n_group - len(ended))]]
        sampled = [Sampled(self._cut(seat, tokens), sum_logprob) for tokens, sum_logprob in candidates]
        return max(sampled, key=self._rank)

    def _cut(self, seat: Seat, tokens: list[int]) -> tuple[int, ...]:
        text = tokens[len(seat.opening) : seat.n_tokens]
        return tuple(text[: text.index(self._end)] if self._end in text else text)

    def _rank(self, one: Sampled) -> float:
        n_tokens = max(1, len(one.tokens))
        if self._length_penalty is None:
            return one.sum_logprob / n_tokens
        return one.sum_logprob / ((5 + n_tokens) / 6) ** self._length_penalty  # Google's NMT paper

    def _rows(self, slots: Tensor) -> Tensor:
        """The rows of slots, (n_slots, n_group)."""
        return slots[:, None] * self.n_group + torch.arange(self.n_group, device=self._device)

    def _ints(self, values: Sequence[int]) -> Tensor:
        return upload(torch.tensor(values, dtype=torch.int64), self._device)

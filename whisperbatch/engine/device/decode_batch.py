"""Windows that are decoded side by side: slots, their caches, and one token more for all of them.

Comes in: encoded windows with their openings. Goes out: what was sampled in those that ended. All rows of a lane make
one pass of the decoder a step, whatever their positions, temperatures and languages; a slot whose window ended is taken
by the next one.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from whisperbatch.engine.device.beam_search import BeamSearch
from whisperbatch.engine.device.cuda_graphs import CudaGraphs, Recorder
from whisperbatch.engine.device.logit_rules import Rules
from whisperbatch.engine.device.step_plan import Plan, Seated, Shape, SlotState, Step
from whisperbatch.engine.device.stopwatch import Stopwatch
from whisperbatch.engine.device.token_choice import Rows, TokenChoices, agree, choose
from whisperbatch.engine.model.decoder import Decoder
from whisperbatch.engine.placement import Snapshot, SnapshotReader, upload
from whisperbatch.engine.scheduling.quality import goes_in_circles
from whisperbatch.engine.scheduling.request import SampledTokens, Window
from whisperbatch.engine.scheduling.slots import Slots
from whisperbatch.options import DecodeOptions

REACH = 32  # caches are read in whole multiples of so many positions
N_TOKENS, N_OPENING, N_BEGUN, IS_USED = range(4)  # of each row: how much it holds, held at first, and if it goes on
LOOK_EVERY = 16  # tokens; the host waits for the device to look at them
PREFILL = 8  # openings are padded to multiples of so many tokens


class DecodeBatch:
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
        self.slots: Slots[SlotState] = Slots(n_slots)
        self._decoder, self._rules = decoder, rules
        self._end, self._length_penalty = rules.end, options.length_penalty
        self._device, n_rows = decoder.device, n_slots * n_group
        n_room = decoder.n_context + 2
        self._caches = decoder.new_caches(n_slots, n_group)
        self._tokens = torch.full((n_rows, n_room), self._end, device=self._device)  # int64
        self._sums = torch.zeros(n_rows, device=self._device)
        self._keys = torch.zeros(n_rows, dtype=torch.int64, device=self._device)
        self._at = torch.ones(4, n_rows, dtype=torch.int64, device=self._device)
        self._warmth = torch.zeros(n_rows, device=self._device)
        self._every = torch.arange(n_slots, device=self._device)
        self._plan, self._n_left = Plan(), 0
        self._graphs = None if recorder is None else CudaGraphs(recorder, n_slots, agree)
        self._beams = BeamSearch(n_slots, n_group, n_room, options.patience, self._end, self._device)
        # a window that ended takes part in one more step, which must not change what is read of it
        self._is_ahead = self._device.type == "cuda" and self._beams.n_kept >= n_group
        self._before: Step | None = None
        self._aside = SnapshotReader(self._device)

    def take(self, windows: Sequence[Window], audio: Tensor | None) -> list[int]:
        """The slots that now hear these windows; ``audio`` is (n_windows, n_audio, d_model), None for a trial's."""
        slots = [self.slots.put(SlotState(window)) for window in windows]
        if audio is None:
            self._decoder.zero_cross_attention(self._caches, len(slots))
        else:
            self._decoder.fill_cross_attention(self._caches, self._ints(slots), audio)
        return slots

    def guess(self, slots: Sequence[int], start: int, languages: Sequence[int]) -> list[list[float]]:
        """The probability of each language in each slot, after the token ``start`` alone."""
        tokens = torch.full((len(slots), 1), start, device=self._device)
        states = self._decoder.prefill(self._caches, self._ints(slots), self.n_group, tokens)
        return self._decoder.logits(states[:, 0])[:, list(languages)].softmax(dim=-1).tolist()

    def begin(
        self, seats: Sequence[tuple[int, SlotState]], start: int, no_speech: int, languages: Sequence[int]
    ) -> None:
        """Put openings into slots; each seat gets the probabilities of what may follow its token ``start``.

        Those are ``no_speech`` among all tokens, and each language among the languages.
        """
        n_longest = -(-max(seat.n_tokens for _, seat in seats) // PREFILL) * PREFILL
        opening = torch.full((len(seats), n_longest), self._end)
        for row, (_, seat) in zip(opening, seats, strict=True):
            row[: seat.n_tokens] = torch.tensor(seat.opening)
        opening, slots = upload(opening, self._device), self._ints([slot for slot, _ in seats])
        states = self._decoder.prefill(self._caches, slots, self.n_group, opening)
        at = self._ints([list(seat.opening).index(start) for _, seat in seats])
        logits = self._decoder.logits(states[torch.arange(len(seats), device=self._device), at])
        silence = logits.softmax(dim=-1)[:, no_speech, None]
        heard = Snapshot(torch.cat((silence, logits[:, list(languages)].softmax(dim=-1)), dim=1))
        rows = self._rows(slots).flatten()
        self._tokens[rows, :n_longest] = opening.repeat_interleave(self.n_group, dim=0)
        self._sums.index_fill_(0, rows, 0.0)  # a plain assignment would have the host wait for the device
        self._beams.clear(slots)
        for row, (slot, seat) in enumerate(seats):
            seat.heard = heard, row
            self.slots.replace(slot, seat)
            if seat.keys:
                first = slot * self.n_group
                self._keys[first : first + len(seat.keys)] = self._ints(seat.keys)

    def step(self) -> list[tuple[int, SlotState, SampledTokens]]:
        """One token more in every row; slot, seat and best candidate of each window that is known to have ended.

        On CUDA that is known one step late: the device is at the next step while the host looks at the last.
        """
        self._close_ranks()
        seated = list(self.slots)
        if not seated:
            return []
        if seated != self._plan.seated:
            self._tell(seated)
        shape = self._shape()
        if self._graphs is None:
            choices = self._pass(shape, self._stopwatch)
        else:
            with self._stopwatch.stage("decoder"):
                choices = TokenChoices(*self._graphs.run(shape, lambda: self._pass(shape, Stopwatch())))
        with self._stopwatch.stage("search"):
            self._append(choices, shape)
            ended = self._signs(shape.n_slots)
            self._at[N_TOKENS] += self._at[IS_USED]
        for _, seat in seated:
            seat.n_tokens += 1
        self._n_left -= 1
        return self._ended(Step(seated, ended))

    def _shape(self) -> Shape:
        """What the next pass is."""
        seated, searching, sampling, is_warm = self._plan
        reach = self._decoder.n_context
        if self._caches.self_attention.cost_grows_with_reach:
            longest = max(seat.n_tokens for _, seat in seated)
            reach = min(-(-longest // REACH) * REACH, reach)
        width = self.n_group + 1 if searching else 0
        return Shape(self._padded(seated[-1][0] + 1), reach, width, bool(sampling), is_warm)

    def _padded(self, n_slots: int) -> int:
        return n_slots if self._graphs is None else self._graphs.padded(n_slots)

    def _tell(self, seated: Seated) -> None:
        """Put who sits where, and how far they are, where a pass looks for it.

        Free slots stand at their first position: what a pass leaves in their caches, the opening of the next window
        there replaces before anything looks at it.
        """
        told, warmth = [(1, 1, 0, 0)] * len(self.slots), [0.0] * len(self.slots)
        for slot, seat in seated:
            n_begun = len(seat.opening)
            told[slot] = seat.n_tokens, n_begun - seat.n_given, n_begun, 1
            warmth[slot] = seat.temperature
        self._at.copy_(self._ints(told).T.repeat_interleave(self.n_group, dim=1))
        self._warmth.copy_(upload(torch.tensor(warmth), self._device).repeat_interleave(self.n_group))
        searching = [slot for slot, seat in seated if self._searches(seat)]
        sampling = [slot for slot, seat in seated if not self._searches(seat)]
        self._plan = Plan(seated, searching, sampling, any(warmth))
        self._n_left = min(seat.max_tokens - seat.n_tokens for _, seat in seated)

    def _pass(self, shape: Shape, stopwatch: Stopwatch) -> TokenChoices:
        """What may come next in the rows of the first slots; rows that had ended draw an end once more.

        What makes it fit to be recorded: its shapes follow from ``shape`` alone; it reads tensors that the lane keeps
        for life; it makes none out of the host's numbers, and no shape out of a tensor's; done twice, it writes the
        same keys and values to the same places.
        """
        n_rows = shape.n_slots * self.n_group
        n_tokens, n_opening, n_begun, _ = self._at[:, :n_rows]
        tokens = self._tokens[:n_rows]
        last = tokens.gather(1, n_tokens[:, None] - 1)[:, 0]
        with stopwatch.stage("decoder"):
            logits = self._decoder.step(self._caches, shape.n_slots, self.n_group, last, n_tokens - 1, shape.reach)
        warmth = self._warmth[:n_rows] if shape.is_warm else None
        rows = Rows(tokens, n_tokens, n_opening, n_begun, warmth, self._keys[:n_rows])
        choices = choose(logits, rows, self._rules, stopwatch, width=shape.width, draws=shape.draws)
        if not shape.draws:
            return choices
        ended = last == self._end
        drawn, logprobs = torch.where(ended, self._end, choices.drawn), choices.logprobs.masked_fill(ended, 0.0)
        return choices._replace(drawn=drawn, logprobs=logprobs)

    def _append(self, choices: TokenChoices, shape: Shape) -> None:
        """Append the next token of every row; those of free slots may be written to."""
        searching, sampling = self._plan.searching, self._plan.sampling
        if sampling and not searching:
            n_rows = len(choices.drawn)
            self._sums[:n_rows] += choices.logprobs
            self._tokens[:n_rows].scatter_(1, self._at[N_TOKENS, :n_rows, None], choices.drawn[:, None])
        elif sampling:
            rows = self._rows(self._ints(sampling)).flatten()
            self._sums[rows] += choices.logprobs[rows]
            self._tokens[rows, self._at[N_TOKENS, rows]] = choices.drawn[rows]
        if searching:
            self._search(self._ints(searching) if sampling else self._every[: shape.n_slots], choices, shape.reach)

    def discard(self, unwanted: Callable[[Window], bool]) -> list[Window]:
        """Free the slots of windows that ``unwanted`` picks; those."""
        return [seat.window for seat in self.slots.discard(lambda seat: unwanted(seat.window))]

    def close(self) -> None:
        """Give the caches back; whoever still holds the lane, or them, holds no memory."""
        for heard in self._caches.cross_attention:
            heard.close()
        self._caches.self_attention.close()
        if self._graphs is not None:
            self._graphs.close()

    def _searches(self, seat: SlotState) -> bool:
        return seat.temperature == 0 and self.n_group > 1

    def _close_ranks(self) -> None:
        """Move the last slots into holes, so that the used ones are the first, where that makes a pass smaller."""
        if self._padded(self.slots.n_used) == self._padded(self.slots.n_spanned):
            return
        for source, target in self.slots.compact():
            for heard in self._caches.cross_attention:
                heard.move(source, target)
            of = slice(source * self.n_group, (source + 1) * self.n_group)
            to = slice(target * self.n_group, (target + 1) * self.n_group)
            self._caches.self_attention.move(of, to)
            for rows in (self._tokens, self._sums, self._keys):
                rows[to] = rows[of]
            self._beams.move(source, target)
        self._aside.wait()

    def _search(self, slots: Tensor, choices: TokenChoices, reach: int) -> None:
        """One step of beam search; rows follow the beams they come from."""
        rows = self._rows(slots)  # (n, n_group)
        n_tokens, _, n_begun, _ = self._at[:, rows[:, 0]]
        source, following, sums = self._beams.advance(
            slots,
            choices.best[rows],
            choices.tokens[rows],
            self._sums[rows],
            self._tokens[rows],
            n_tokens,
            n_tokens == n_begun,
        )
        origin, target = rows.gather(1, source).flatten(), rows.flatten()
        self._caches.self_attention.reorder(origin, target, reach)
        self._tokens[target] = self._tokens[origin]
        self._tokens[target, n_tokens.repeat_interleave(self.n_group)] = following.flatten()
        self._sums[target] = sums.flatten()

    def _ended(self, now: Step) -> list[tuple[int, SlotState, SampledTokens]]:
        """Those that are known to have ended; without a device that works on its own, all of them."""
        before, self._before = self._before, now
        found = self._read(before) if before is not None else []
        if not self._is_ahead or self._n_left <= 0:
            self._before = None
            known = {id(seat) for _, seat, _ in found}
            found += [one for one in self._read(now, is_last=True) if id(one[1]) not in known]
        known = {id(seat) for _, seat, _ in found}
        looping = [one for one in now.seated if id(one[1]) not in known and self._loops(*one)]
        return found + [(slot, seat, self._best(slot, seat)) for slot, seat in looping]

    def _loops(self, slot: int, seat: SlotState) -> bool:
        """Whether a window that has all the text its audio has room for says the same again and again."""
        n_sampled = seat.n_tokens - len(seat.opening)
        if seat.n_room is None or n_sampled < seat.n_room or n_sampled % LOOK_EVERY:
            return False
        first = slot * self.n_group
        rows = self._tokens[first : first + (1 if self._searches(seat) else self.n_group)]
        texts = [row[len(seat.opening) : seat.n_tokens] for row in rows.tolist()]
        going = [text for text in texts if text[-1] != self._end]
        return bool(going) and all(goes_in_circles(text, self._rules.timestamp_begin) for text in going)

    def _signs(self, n_slots: int) -> dict[bool, Snapshot]:
        """Whether the first slots' windows have ended, as a Step has it."""
        found = {}
        if self._plan.sampling:
            n_rows = n_slots * self.n_group
            last = self._tokens[:n_rows].gather(1, self._at[N_TOKENS, :n_rows, None])
            found[False] = Snapshot((last.view(n_slots, self.n_group) == self._end).all(dim=1))
        if self._plan.searching:
            found[True] = Snapshot(self._beams.n_ended(n_slots) >= self._beams.n_kept)
        return found

    def _read(self, step: Step, *, is_last: bool = False) -> list[tuple[int, SlotState, SampledTokens]]:
        """Those that ended with a step, if they are still seated; with the last one, those too that have no room."""
        ended = {searches: look.tolist() for searches, look in step.ended.items()}
        made = list(step.ended.values())[-1]
        places, found = {id(seat): slot for slot, seat in self.slots}, []
        for then, seat in step.seated:
            is_done = ended[self._searches(seat)][then] or (is_last and seat.n_tokens >= seat.max_tokens)
            if is_done and (slot := places.get(id(seat))) is not None:
                with self._aside.since(made):
                    found.append((slot, seat, self._best(slot, seat)))
        return found

    def _best(self, slot: int, seat: SlotState) -> SampledTokens:
        """The candidate of a window that ranks first, by openai-whisper's MaximumLikelihoodRanker."""
        rows = slice(slot * self.n_group, (slot + 1) * self.n_group)
        candidates = list(zip(self._tokens[rows].tolist(), self._sums[rows].tolist(), strict=True))
        if self._searches(seat):
            ended = self._beams.ended(slot)
            unended = sorted(candidates, key=lambda one: one[1])[::-1]  # ties as in a reversed argsort
            candidates = [*ended, *unended[: max(0, self.n_group - len(ended))]]
        return max((self._sampled(seat, *candidate) for candidate in candidates), key=self._rank)

    def _sampled(self, seat: SlotState, tokens: list[int], sum_logprob: float) -> SampledTokens:
        text = tokens[len(seat.opening) - seat.n_returned : seat.n_tokens]
        if self._end in text:
            return SampledTokens(tuple(text[: text.index(self._end)]), sum_logprob)
        return SampledTokens(tuple(text), sum_logprob, is_cut=seat.n_tokens >= seat.max_tokens)

    def _rank(self, one: SampledTokens) -> float:
        n_tokens = max(1, len(one.tokens))
        if self._length_penalty is None:
            return one.sum_logprob / n_tokens
        penalty: float = ((5 + n_tokens) / 6) ** self._length_penalty  # Google's NMT paper
        return one.sum_logprob / penalty

    def _rows(self, slots: Tensor) -> Tensor:
        """The rows of slots, (n_slots, n_group)."""
        return slots[:, None] * self.n_group + torch.arange(self.n_group, device=self._device)

    def _ints(self, values: Sequence[Any]) -> Tensor:
        return upload(torch.tensor(values, dtype=torch.int64), self._device)

"""Decode a batch of windows together: slots, their KV caches, and steps that add one token to each row.

Takes encoded windows with their openings, returns the sampled tokens of those that have ended. A step is one decoder
pass over all rows of the batch, whatever their positions, temperatures and languages; when a window ends, the next one
takes its slot.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from whisperbatch.engine.device import best_tokens
from whisperbatch.engine.device.beam_search import BeamSearch
from whisperbatch.engine.device.cuda_graphs import CudaGraphs, Recorder
from whisperbatch.engine.device.logit_rules import Rules
from whisperbatch.engine.device.step_plan import ActiveSlots, PassShape, SlotState, Step, StepPlan
from whisperbatch.engine.device.stopwatch import Stopwatch
from whisperbatch.engine.device.token_choice import Rows, TokenChoices, agree, choose
from whisperbatch.engine.model.decoder import Decoder
from whisperbatch.engine.placement import Snapshot, SnapshotReader, upload
from whisperbatch.engine.scheduling.quality import goes_in_circles
from whisperbatch.engine.scheduling.request import SampledTokens, Window
from whisperbatch.engine.scheduling.slots import Slots
from whisperbatch.options import DecodeOptions

REACH = 32  # positions; caches are read in multiples of it
N_TOKENS, N_OPENING, N_BEGUN, IS_USED = range(4)  # counts per row, as in ``token_choice.Rows``; whether it is used
CHECK_EVERY = 16  # tokens between checks for loops, for which the host waits for the device
PREFILL = 8  # tokens; openings are padded to multiples of it


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
        """Allocate the caches; with a ``recorder``, passes are recorded and replayed."""
        self.n_group, self._stopwatch = n_group, stopwatch or Stopwatch()
        self.slots: Slots[SlotState] = Slots(n_slots)
        self._decoder, self._rules, self._best_tokens = decoder, rules, best_tokens.find(decoder, rules)
        self._end, self._length_penalty = rules.end, options.length_penalty
        self._device, n_rows = decoder.device, n_slots * n_group
        n_room = decoder.n_context + 2
        self._caches = decoder.new_caches(n_slots, n_group)
        self._tokens = torch.full((n_rows, n_room), self._end, device=self._device)  # int64
        self._sums = torch.zeros(n_rows, device=self._device)
        self._keys = torch.zeros(n_rows, dtype=torch.int64, device=self._device)
        self._row_counts = torch.ones(4, n_rows, dtype=torch.int64, device=self._device)
        self._temperatures = torch.zeros(n_rows, device=self._device)
        self._all_slots = torch.arange(n_slots, device=self._device)
        self._plan, self._n_steps_left = StepPlan(), 0
        self._graphs = None if recorder is None else CudaGraphs(recorder, n_slots, agree)
        self._beams = BeamSearch(n_slots, n_group, n_room, options.patience, self._end, self._device)
        # a window that has ended takes part in one more step, which must not change its result
        self._runs_ahead = self._device.type == "cuda" and self._beams.max_candidates >= n_group
        self._last_step: Step | None = None
        self._reader = SnapshotReader(self._device)

    def add(self, windows: Sequence[Window], audio: Tensor | None) -> list[int]:
        """Put windows into free slots; return these. ``audio`` is (n_windows, n_audio, d_model), None for a trial."""
        slots = [self.slots.put(SlotState(window)) for window in windows]
        if audio is None:
            self._decoder.zero_cross_attention(self._caches, len(slots))
        else:
            self._decoder.fill_cross_attention(self._caches, self._ints(slots), audio)
        return slots

    def language_probs(self, slots: Sequence[int], start: int, languages: Sequence[int]) -> list[list[float]]:
        """The probability of each language in each slot, after the single token ``start``."""
        tokens = torch.full((len(slots), 1), start, device=self._device)
        states = self._decoder.prefill(self._caches, self._ints(slots), self.n_group, tokens)
        return self._decoder.logits(states[:, 0])[:, list(languages)].softmax(dim=-1).tolist()

    def begin(
        self, entries: Sequence[tuple[int, SlotState]], start: int, no_speech: int, languages: Sequence[int]
    ) -> None:
        """Decode the openings of slots, and store the probabilities after the token ``start`` in their states.

        These are the probability of ``no_speech`` among all tokens, and that of each language among the languages.
        """
        n_longest = -(-max(state.n_tokens for _, state in entries) // PREFILL) * PREFILL
        opening = torch.full((len(entries), n_longest), self._end)
        for row, (_, state) in zip(opening, entries, strict=True):
            row[: state.n_tokens] = torch.tensor(state.opening)
        opening, slots = upload(opening, self._device), self._ints([slot for slot, _ in entries])
        states = self._decoder.prefill(self._caches, slots, self.n_group, opening)
        at = self._ints([list(state.opening).index(start) for _, state in entries])
        logits = self._decoder.logits(states[torch.arange(len(entries), device=self._device), at])
        silence = logits.softmax(dim=-1)[:, no_speech, None]
        probs = Snapshot(torch.cat((silence, logits[:, list(languages)].softmax(dim=-1)), dim=1))
        rows = self._rows(slots).flatten()
        self._tokens[rows, :n_longest] = opening.repeat_interleave(self.n_group, dim=0)
        self._sums.index_fill_(0, rows, 0.0)  # a plain assignment would make the host wait for the device
        self._beams.clear(slots)
        for row, (slot, state) in enumerate(entries):
            state.opening_probs = probs, row
            self.slots.replace(slot, state)
            if state.keys:
                first = slot * self.n_group
                self._keys[first : first + len(state.keys)] = self._ints(state.keys)

    def step(self) -> list[tuple[int, SlotState, SampledTokens]]:
        """Add a token to every row; return slot, state and best candidate of each window that is known to have ended.

        On CUDA that is known one step late: the device works on the next step while the host reads the last one.
        """
        self._compact()
        active = list(self.slots)
        if not active:
            return []
        if active != self._plan.active:
            self._upload_plan(active)
        shape = self._shape()
        if self._graphs is None:
            choices = self._pass(shape, self._stopwatch)
        else:
            with self._stopwatch.stage("decoder"):
                choices = TokenChoices(*self._graphs.run(shape, lambda: self._pass(shape, Stopwatch())))
        with self._stopwatch.stage("search"):
            self._append(choices, shape)
            ended = self._ended_flags(shape.n_slots)
            self._row_counts[N_TOKENS] += self._row_counts[IS_USED]
        for _, state in active:
            state.n_tokens += 1
        self._n_steps_left -= 1
        return self._ended(Step(active, ended))

    def _shape(self) -> PassShape:
        """The shape of the next pass."""
        active, searching, sampling, is_warm = self._plan
        reach = self._decoder.n_context
        if self._caches.self_attention.cost_grows_with_reach:
            longest = max(state.n_tokens for _, state in active)
            reach = min(-(-longest // REACH) * REACH, reach)
        width = self.n_group + 1 if searching else 0
        return PassShape(self._padded(active[-1][0] + 1), reach, width, bool(sampling), is_warm)

    def _padded(self, n_slots: int) -> int:
        return n_slots if self._graphs is None else self._graphs.padded(n_slots)

    def _upload_plan(self, active: ActiveSlots) -> None:
        """Plan the next steps and upload the state of the rows for them.

        Free slots stay at their first position: whatever a pass writes to their caches is overwritten by the opening of
        the next window there before anything reads it.
        """
        row_counts, temperatures = [(1, 1, 0, 0)] * len(self.slots), [0.0] * len(self.slots)
        for slot, state in active:
            n_begun = len(state.opening)
            row_counts[slot] = state.n_tokens, n_begun - state.n_given, n_begun, 1
            temperatures[slot] = state.temperature
        self._row_counts.copy_(self._ints(row_counts).T.repeat_interleave(self.n_group, dim=1))
        self._temperatures.copy_(upload(torch.tensor(temperatures), self._device).repeat_interleave(self.n_group))
        searching = [slot for slot, state in active if self._is_search(state)]
        sampling = [slot for slot, state in active if not self._is_search(state)]
        self._plan = StepPlan(active, searching, sampling, any(temperatures))
        self._n_steps_left = min(state.max_tokens - state.n_tokens for _, state in active)

    def _pass(self, shape: PassShape, stopwatch: Stopwatch) -> TokenChoices:
        """Run the decoder on the rows of the first slots and choose their next tokens; ended rows draw an end again.

        It can be recorded because its shapes follow from ``shape`` alone; it reads only tensors that live as long as
        the batch; it creates no tensor from the host's numbers, and no shape from a tensor's values; and if run twice,
        it writes the same keys and values to the same places.
        """
        n_rows = shape.n_slots * self.n_group
        n_tokens, n_opening, n_begun, _ = self._row_counts[:, :n_rows]
        tokens = self._tokens[:n_rows]
        last = tokens.gather(1, n_tokens[:, None] - 1)[:, 0]
        with stopwatch.stage("decoder"):
            logits, states = self._decoder.step(
                self._caches, shape.n_slots, self.n_group, last, n_tokens - 1, shape.reach
            )
        temperatures = self._temperatures[:n_rows] if shape.is_warm else None
        rows = Rows(tokens, n_tokens, n_opening, n_begun, temperatures, self._keys[:n_rows])
        choices = self._choose(logits, states, rows, shape, stopwatch)
        if not shape.draws:
            return choices
        ended = last == self._end
        drawn, logprobs = torch.where(ended, self._end, choices.drawn), choices.logprobs.masked_fill(ended, 0.0)
        return choices._replace(drawn=drawn, logprobs=logprobs)

    def _choose(
        self, logits: Tensor, states: Tensor, rows: Rows, shape: PassShape, stopwatch: Stopwatch
    ) -> TokenChoices:
        """Choose the next tokens; a row's choice is the same whatever the temperatures of the others are."""
        width, draws = shape.width, shape.draws
        if self._best_tokens is None:
            return choose(logits, rows, self._rules, stopwatch, width=width, draws=draws)
        is_sampling = draws and rows.temperatures is not None
        with stopwatch.stage("rules"):
            choices = self._best_tokens(logits, states, rows, width=width, draws=draws)
        if not is_sampling:
            return choices
        sampled = choose(logits, rows, self._rules, stopwatch, width=0, draws=True)  # the rules forbid the same again
        is_warm = self._temperatures[: len(logits)] > 0
        return choices._replace(
            drawn=torch.where(is_warm, sampled.drawn, choices.drawn),
            logprobs=torch.where(is_warm, sampled.logprobs, choices.logprobs),
        )

    def _append(self, choices: TokenChoices, shape: PassShape) -> None:
        """Append the next token to every row; rows of free slots may be written to."""
        searching, sampling = self._plan.searching, self._plan.sampling
        if sampling and not searching:
            n_rows = len(choices.drawn)
            self._sums[:n_rows] += choices.logprobs
            self._tokens[:n_rows].scatter_(1, self._row_counts[N_TOKENS, :n_rows, None], choices.drawn[:, None])
        elif sampling:
            rows = self._rows(self._ints(sampling)).flatten()
            self._sums[rows] += choices.logprobs[rows]
            self._tokens[rows, self._row_counts[N_TOKENS, rows]] = choices.drawn[rows]
        if searching:
            self._search(self._ints(searching) if sampling else self._all_slots[: shape.n_slots], choices, shape.reach)

    def discard(self, unwanted: Callable[[Window], bool]) -> list[Window]:
        """Free the slots of windows for which ``unwanted`` returns True; return these windows."""
        return [state.window for state in self.slots.discard(lambda state: unwanted(state.window))]

    def close(self) -> None:
        """Free the caches' memory, even if something still refers to this batch or to them."""
        for cache in self._caches.cross_attention:
            cache.close()
        self._caches.self_attention.close()
        if self._graphs is not None:
            self._graphs.close()

    def _is_search(self, state: SlotState) -> bool:
        return state.temperature == 0 and self.n_group > 1

    def _compact(self) -> None:
        """Move the last windows into free slots before them, if that makes a pass smaller."""
        if self._padded(self.slots.n_used) == self._padded(self.slots.n_spanned):
            return
        for source, target in self.slots.compact():
            for cache in self._caches.cross_attention:
                cache.move(source, target)
            source_rows = slice(source * self.n_group, (source + 1) * self.n_group)
            target_rows = slice(target * self.n_group, (target + 1) * self.n_group)
            self._caches.self_attention.move(source_rows, target_rows)
            for rows in (self._tokens, self._sums, self._keys):
                rows[target_rows] = rows[source_rows]
            self._beams.move(source, target)
        self._reader.wait()

    def _search(self, slots: Tensor, choices: TokenChoices, reach: int) -> None:
        """Advance beam search by one step, and copy to each row the state of the beam that it continues."""
        rows = self._rows(slots)  # (n, n_group)
        n_tokens, _, n_begun, _ = self._row_counts[:, rows[:, 0]]
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
        """The windows that are known to have ended; all that have, unless the device runs ahead."""
        last_step, self._last_step = self._last_step, now
        found = self._read(last_step) if last_step is not None else []
        if not self._runs_ahead or self._n_steps_left <= 0:
            self._last_step = None
            known = {id(state) for _, state, _ in found}
            found += [one for one in self._read(now, is_last=True) if id(one[1]) not in known]
        known = {id(state) for _, state, _ in found}
        looping = [one for one in now.active if id(one[1]) not in known and self._is_looping(*one)]
        return found + [(slot, state, self._best(slot, state)) for slot, state in looping]

    def _is_looping(self, slot: int, state: SlotState) -> bool:
        """True if a window has as much text as its audio has room for, and the text repeats itself."""
        n_sampled = state.n_tokens - len(state.opening)
        if state.n_room is None or n_sampled < state.n_room or n_sampled % CHECK_EVERY:
            return False
        first = slot * self.n_group
        rows = self._tokens[first : first + (1 if self._is_search(state) else self.n_group)]
        texts = [row[len(state.opening) : state.n_tokens] for row in rows.tolist()]
        unended = [text for text in texts if text[-1] != self._end]
        return bool(unended) and all(goes_in_circles(text, self._rules.timestamp_begin) for text in unended)

    def _ended_flags(self, n_slots: int) -> dict[bool, Snapshot]:
        """Flags that say whether the first slots' windows have ended, as in ``Step.ended``."""
        found = {}
        if self._plan.sampling:
            n_rows = n_slots * self.n_group
            last = self._tokens[:n_rows].gather(1, self._row_counts[N_TOKENS, :n_rows, None])
            found[False] = Snapshot((last.view(n_slots, self.n_group) == self._end).all(dim=1))
        if self._plan.searching:
            found[True] = Snapshot(self._beams.n_ended(n_slots) >= self._beams.max_candidates)
        return found

    def _read(self, step: Step, *, is_last: bool = False) -> list[tuple[int, SlotState, SampledTokens]]:
        """The windows that ended with a step and still have a slot; in the last step, also those at ``max_tokens``."""
        ended = {is_search: snapshot.tolist() for is_search, snapshot in step.ended.items()}
        last_flags = list(step.ended.values())[-1]
        slot_of, found = {id(state): slot for slot, state in self.slots}, []
        for old_slot, state in step.active:
            is_done = ended[self._is_search(state)][old_slot] or (is_last and state.n_tokens >= state.max_tokens)
            if is_done and (slot := slot_of.get(id(state))) is not None:
                with self._reader.since(last_flags):
                    found.append((slot, state, self._best(slot, state)))
        return found

    def _best(self, slot: int, state: SlotState) -> SampledTokens:
        """A window's best candidate by openai-whisper's MaximumLikelihoodRanker."""
        rows = slice(slot * self.n_group, (slot + 1) * self.n_group)
        candidates = list(zip(self._tokens[rows].tolist(), self._sums[rows].tolist(), strict=True))
        if self._is_search(state):
            ended = self._beams.ended(slot)
            unended = sorted(candidates, key=lambda one: one[1])[::-1]  # ties as in a reversed argsort
            candidates = [*ended, *unended[: max(0, self.n_group - len(ended))]]
        return max((self._sampled(state, *candidate) for candidate in candidates), key=self._rank)

    def _sampled(self, state: SlotState, tokens: list[int], sum_logprob: float) -> SampledTokens:
        text = tokens[len(state.opening) - state.n_returned : state.n_tokens]
        if self._end in text:
            return SampledTokens(tuple(text[: text.index(self._end)]), sum_logprob)
        return SampledTokens(tuple(text), sum_logprob, is_cut=state.n_tokens >= state.max_tokens)

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

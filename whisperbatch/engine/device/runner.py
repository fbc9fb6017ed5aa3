"""What runs on the device: features, encoder, and the lanes in which windows are decoded.

Comes in: windows. Goes out: what was decoded of them at one temperature, and guessed languages. A window's encoder
output is kept until its text is settled, so that a retry, a vote or a fault costs no second pass of the encoder.
"""

import copy
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from whisperbatch.engine import Work
from whisperbatch.engine.device import sampling_noise, word_alignment
from whisperbatch.engine.device.batch_size import N_STEPS
from whisperbatch.engine.device.cuda_graphs import CudaGraphs, Recorder
from whisperbatch.engine.device.decode_batch import DecodeBatch
from whisperbatch.engine.device.logit_rules import Rules
from whisperbatch.engine.device.memory import free_bytes
from whisperbatch.engine.device.step_plan import SlotState
from whisperbatch.engine.device.stopwatch import Stopwatch
from whisperbatch.engine.model.decoder import Decoder
from whisperbatch.engine.model.encoder import Encoder
from whisperbatch.engine.model.log_mel import N_HOP, LogMel
from whisperbatch.engine.model.tokenizer import WhisperTokenizer
from whisperbatch.engine.model.weights import Checkpoint
from whisperbatch.engine.placement import name_of
from whisperbatch.engine.scheduling.file_request import FileRequest
from whisperbatch.engine.scheduling.quality import Decoded
from whisperbatch.engine.scheduling.request import N_FRAMES, SampledTokens, Window
from whisperbatch.errors import UsageError
from whisperbatch.options import DecodeOptions
from whisperbatch.records import N_SAMPLES

ENCODE_TOGETHER = 8  # windows; an H200 took 14 ms for one of large-v3, most of it to launch, and 51 for eight
N_OPENING = 8  # tokens that stand before a prefix beside the prompt, and room for text after it
TOKENS_A_SECOND = 5  # of fast speech
UNFUSED = (
    "attention runs in torch's own products, which makes it slower and changes no text: "
    "Triton is missing here or cannot compile (it needs a C compiler such as gcc)"
)


class Runner:
    """One model on one device; owned by the engine's thread."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        spelling: WhisperTokenizer,
        options: DecodeOptions,
        n_slots: int,
        on_notice: Callable[[str], None] = lambda text: None,
    ) -> None:
        """Make the lanes: ``n_slots`` windows at the first temperature, and fewer at others if they need more rows."""
        tensors, config, in_eight_bits = checkpoint.tensors, checkpoint.config, checkpoint.in_eight_bits
        self._encoder = Encoder(tensors, config, in_eight_bits=in_eight_bits)
        self._decoder = Decoder(tensors, config, in_eight_bits=in_eight_bits)
        self._mel = LogMel(checkpoint.filters, self._decoder.device, self._decoder.dtype)
        self._spelling, self._options = spelling, options
        self._rules = Rules(spelling, options, self._decoder.n_vocab, self._decoder.device)
        prefix = (options.prefix or "").strip()
        self._prefix = spelling.encode(" " + prefix) if prefix else []
        n_most = self._decoder.n_context // 2 - N_OPENING
        if options.sample_len is None and len(self._prefix) > n_most:
            raise UsageError(f"--prefix has {len(self._prefix)} tokens; a window begins with {n_most} at most")
        known = checkpoint.generation.get("alignment_heads")
        watched = word_alignment.heads(known, self._decoder.n_layers, self._decoder.n_heads)
        self._aligner = word_alignment.Aligner(self._decoder, watched, spelling.end)
        self._lanes: dict[int, DecodeBatch] = {}
        self.name = name_of(self._decoder.device)
        self.n_encoded = 0  # windows that the encoder has seen
        self._n_tokens = 0
        self._stopwatch = Stopwatch(self._wait)
        device = self._decoder.device
        self.recorder = Recorder(device, on_notice) if device.type == "cuda" else None  # None: passes run eagerly
        self.n_together = ENCODE_TOGETHER if device.type == "cuda" else 1
        self._passes: CudaGraphs | None = None  # of the encoder
        self._held = torch.empty(0, checkpoint.config["num_mel_bins"], N_FRAMES, device=device)  # what they read
        if device.type == "cuda" and not self._decoder.is_fused:
            on_notice(UNFUSED)
        self.resize(n_slots)

    def beside(self) -> "Runner":
        """Another runner of the same model, for another thread, with a slot of its own."""
        other = copy.copy(self)
        other._lanes, other._stopwatch = {}, Stopwatch(other._wait)
        other.n_encoded = other._n_tokens = 0
        other.resize(1)
        return other

    @torch.inference_mode()
    def resize(self, n_slots: int) -> None:
        """Make the lanes anew, empty."""
        self.n_slots = n_slots
        for lane in self.lanes:
            lane.close()
        self._lanes.clear()
        if self._passes is not None:
            self._passes.close()
            self._passes = None
        if self.recorder is not None:
            self._held = self._held.new_empty((ENCODE_TOGETHER, *self._held.shape[1:]), dtype=self._decoder.dtype)
            self._passes = CudaGraphs(self.recorder, ENCODE_TOGETHER, _agree)
        groups = [self._group(temperature) for temperature in self._options.temperatures]
        for group in dict.fromkeys(groups):
            n_here = n_slots if group == groups[0] else max(1, n_slots // 4)
            self._lanes[group] = DecodeBatch(
                self._decoder, self._rules, self._options, n_here, group, self._stopwatch, self.recorder
            )

    @property
    def lanes(self) -> tuple[DecodeBatch, ...]:
        """All lanes; the first is that of the first temperature."""
        return tuple(self._lanes.values())

    def lane_of(self, window: Window) -> DecodeBatch:
        """Where the window's next try runs."""
        return self._lanes[self._group(self._temperature(window))]

    @torch.inference_mode()
    def encode(self, windows: Sequence[Window]) -> None:
        """Give each window its encoder output, (n_audio, d_model)."""
        with self._stopwatch.stage("features"):
            mel = torch.stack(self._features(windows))  # (n_windows, n_mels, n_frames)
        with self._stopwatch.stage("encoder"):
            audio = self._encoded(mel)  # (n_windows, n_audio, d_model)
        self.n_encoded += len(windows)
        for window, one in zip(windows, audio, strict=True):
            window.audio = one.clone()  # a view would hold the whole batch until its last window is settled

    def _encoded(self, mel: Tensor) -> Tensor:
        """The encoder's output, by a recorded pass where there are such: its launches take longer than its work."""
        if self._passes is None or len(mel) > len(self._held):
            return self._encoder(mel)
        held = self._held[: len(mel)].copy_(mel)
        return self._passes.run(len(mel), lambda: [self._encoder(held)])[0]

    @torch.inference_mode()
    def enter(self, lane: DecodeBatch, windows: Sequence[Window]) -> list[int]:
        """Seat encoded windows in a lane that has room for them; their slots."""
        with self._stopwatch.stage("prefill"):
            return lane.take(windows, torch.stack([window.audio for window in windows]))

    @torch.inference_mode()
    def guess(self, lane: DecodeBatch, slots: Sequence[int]) -> list[dict[str, float]]:
        """The probability of each language in each slot."""
        codes = list(self._spelling.languages)
        found = lane.guess(slots, self._spelling.start, list(self._spelling.languages.values()))
        return [dict(zip(codes, probabilities, strict=True)) for probabilities in found]

    @torch.inference_mode()
    def begin(self, lane: DecodeBatch, seated: Sequence[tuple[int, Window]]) -> None:
        """Begin a try of windows whose language is known, at the next temperature of each."""
        seats = [(slot, self._seat(window)) for slot, window in seated]
        with self._stopwatch.stage("prefill"):
            self._open(lane, seats)

    def _open(self, lane: DecodeBatch, seats: Sequence[tuple[int, SlotState]]) -> None:
        spelling = self._spelling
        lane.begin(seats, spelling.start, spelling.no_speech, list(spelling.languages.values()))

    @torch.inference_mode()
    def step(self, lane: DecodeBatch) -> list[tuple[int, Window, SampledTokens]]:
        """One token more in a lane; slot, window and sampled tokens of those that ended."""
        ended = lane.step()
        for _, seat, _ in ended:
            if not seat.window.tried:
                seat.window.no_speech_prob = seat.no_speech_prob
                if not seat.window.prompt:  # it is in a language itself
                    seat.window.chances = dict(zip(self._spelling.languages, seat.chances, strict=True))
        return [(slot, seat.window, sampled) for slot, seat, sampled in ended]

    def read(self, window: Window, sampled: SampledTokens) -> Decoded:
        """Sampled tokens as text with its figures."""
        self._n_tokens += len(sampled.tokens) + 1
        return Decoded(
            sampled.tokens,
            self._spelling.decode_all(sampled.tokens),
            self._temperature(window),
            sampled.avg_logprob,
            window.no_speech_prob,
            sampled.is_cut,
        )

    @torch.inference_mode()
    def align(self, windows: Sequence[Window]) -> None:
        """Give each window the times of what was said in it."""
        openings = [
            self._spelling.opening(window.request.language, window.request.clip.settings.task, timed=False)
            for window in windows
        ]
        audio, said = [window.audio for window in windows], [window.said for window in windows]
        with self._stopwatch.stage("word times"):
            found = self._aligner.align(audio, openings, said, [window.n_frames for window in windows])
        for window, timings in zip(windows, found, strict=True):
            window.timings = timings

    @property
    def work(self) -> Work:
        """What it has done so far."""
        on_cuda = self._decoder.device.type == "cuda"
        peak = torch.cuda.max_memory_allocated(self._decoder.device) if on_cuda else None
        return Work(self.n_encoded, self._n_tokens, dict(self._stopwatch.seconds), peak)

    def measure_stages(self, wanted: bool) -> None:
        """Time the stages, or no longer."""
        self._stopwatch.is_on = wanted

    def is_out_of_memory(self, err: Exception) -> bool:
        """Whether the device, or the machine, had too little memory."""
        return isinstance(err, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(err)

    @torch.inference_mode()
    def trial(self, n_slots: int) -> float | None:
        """The seconds of a step with so many windows that hear nothing; None when there is no memory for them.

        The lanes are left with that many slots, and empty.
        """
        try:
            self.resize(n_slots)
            lane = self.lanes[0]
            opening = self._spelling.opening("en", "transcribe", timed=False)
            windows = [Window(None, 0, N_FRAMES) for _ in range(n_slots)]  # type: ignore[arg-type]  # of no clip
            slots = lane.take(windows, None)
            seats = [
                SlotState(w, opening, self._options.temperatures[0], N_FRAMES, (0,) * lane.n_group) for w in windows
            ]
            self._open(lane, list(zip(slots, seats, strict=True)))
            lane.step()
            return min(self._timed(lane) for _ in range(N_STEPS))
        except (MemoryError, RuntimeError) as err:  # torch's own is a RuntimeError
            if not self.is_out_of_memory(err):
                raise
            return None
        finally:
            for lane in self.lanes:
                lane.discard(lambda window: True)

    @property
    def bytes_per_slot(self) -> int:
        """What a window takes in the lanes and on its way there."""
        groups = {self._group(temperature) for temperature in self._options.temperatures}
        rows = self._decoder.bytes_per_window(self._group(self._options.temperatures[0]))
        return rows + sum(self._decoder.bytes_per_window(group) for group in groups) // 4

    @property
    def free_bytes(self) -> float | None:
        """Memory that slots may take; None where it is not known."""
        return free_bytes(self._decoder.device)

    def _timed(self, lane: DecodeBatch) -> float:
        self._wait()
        began_s = time.perf_counter()
        lane.step()
        self._wait()
        return time.perf_counter() - began_s

    def _wait(self) -> None:
        """Wait for the device."""
        if self._decoder.device.type == "cuda":
            torch.cuda.synchronize(self._decoder.device)

    def close(self) -> None:
        """Drop the model and what the device holds for it."""
        device = self._decoder.device
        for lane in self.lanes:
            lane.close()
        self._lanes.clear()
        self._passes = None
        del self._encoder, self._decoder, self._aligner, self._held
        if device.type == "cuda":
            torch.cuda.empty_cache()

    def _group(self, temperature: float) -> int:
        return self._options.best_of if temperature > 0 else self._options.beam_size

    def _temperature(self, window: Window) -> float:
        return self._options.temperatures[len(window.tried)]

    def _features(self, windows: Sequence[Window]) -> list[Tensor]:
        clips = [window for window in windows if not isinstance(window.request, FileRequest)]
        made = self._mel.clips([_samples(window) for window in clips]) if clips else ()
        rows = dict(zip(map(id, clips), made, strict=True))
        return [rows[id(w)] if id(w) in rows else self._stretch(w, w.request) for w in windows]

    def _stretch(self, window: Window, request: Any) -> Tensor:
        samples = request.clip.samples
        if request.loudest is None:
            request.loudest = self._mel.maximum(samples)
        return self._mel.stretch(samples, window.start, window.n_frames, request.loudest)

    def _seat(self, window: Window) -> SlotState:
        spelling, request, options = self._spelling, window.request, self._options
        timed = not options.without_timestamps
        opening = [*self._prompt(window), *spelling.opening(request.language, request.clip.settings.task, timed=timed)]
        is_file, n_context = isinstance(request, FileRequest), self._decoder.n_context
        n_half = n_context // 2  # openai-whisper's most; dense speech in a script of many tokens a word has more
        sample_len = options.sample_len or (n_half if is_file else n_context)
        prefix: Sequence[int] = self._prefix[-max(0, n_half - sample_len) :]
        n_given = n_returned = 0
        if window.given:
            prefix, n_given = window.given, len(window.given)
        elif prefix and not is_file:  # as faster-whisper: it has a time, and is text
            prefix = [spelling.timestamp_begin, *prefix] if timed else prefix
            n_given = n_returned = len(prefix)
        opening += prefix
        max_tokens = min(len(opening) + sample_len - n_given + n_returned, n_context + 1)
        ends_loops = not is_file and options.compression_ratio_threshold is not None
        n_room = round(TOKENS_A_SECOND * window.duration_s) if ends_loops else None
        keys = tuple(self._keys(window))
        return SlotState(window, opening, self._temperature(window), max_tokens, keys, n_given, n_returned, n_room)

    def _prompt(self, window: Window) -> list[int]:
        if not window.prompt or self._spelling.previous is None:
            return []
        return [self._spelling.previous, *window.prompt]

    def _keys(self, window: Window) -> Iterator[int]:
        """Keys of the sampling noise, one a candidate."""
        temperature = self._temperature(window)
        if temperature == 0:
            return
        samples = _samples(window)
        for candidate in range(self._options.best_of):
            yield sampling_noise.key(self._options.seed, samples, window.start, temperature, candidate)


def _agree(one: Sequence[Tensor], two: Sequence[Tensor]) -> bool:
    """Whether two passes of the encoder gave the same, normed states."""
    return torch.allclose(one[0], two[0], rtol=0.05, atol=0.05, equal_nan=True)


def _samples(window: Window) -> np.ndarray:
    """int16 (n_samples,) of a window; all that is left of a clip, or the stretch of a second look or a file."""
    first = window.start * N_HOP
    is_stretch = window.is_stretch or isinstance(window.request, FileRequest)
    n_samples = window.n_frames * N_HOP if is_stretch else N_SAMPLES
    samples: np.ndarray = window.request.clip.samples[first : first + n_samples]
    return samples

"""Run one model on one device: features, encoder, and the decode batches of windows.

Takes windows, returns what was decoded of them at one temperature, and detected languages. A window's encoder output is
kept until its text is final, so that a retry, a language vote or a fault needs no second pass of the encoder.
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

ENCODE_TOGETHER = 8  # windows; an H200 took 14 ms for one of large-v3, mostly launches, and 51 for eight
N_OPENING = 8  # tokens before a prefix other than the prompt, and room for text after it
TOKENS_A_SECOND = 5  # of fast speech
UNFUSED = (
    "attention uses torch's own kernels, which is slower but does not change the text: "
    "Triton is missing or cannot compile (it needs a C compiler such as gcc)"
)


class Runner:
    """One model on one device; owned by the engine's thread."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        tokenizer: WhisperTokenizer,
        options: DecodeOptions,
        n_slots: int,
        on_notice: Callable[[str], None] = lambda text: None,
    ) -> None:
        """Create the batches: ``n_slots`` windows at the first temperature, fewer at others that need more rows."""
        tensors, config, in_eight_bits = checkpoint.tensors, checkpoint.config, checkpoint.in_eight_bits
        self._encoder = Encoder(tensors, config, in_eight_bits=in_eight_bits)
        self._decoder = Decoder(tensors, config, in_eight_bits=in_eight_bits)
        self._mel = LogMel(checkpoint.filters, self._decoder.device, self._decoder.dtype)
        self._tokenizer, self._options = tokenizer, options
        self._rules = Rules(tokenizer, options, self._decoder.n_vocab, self._decoder.device)
        prefix = (options.prefix or "").strip()
        self._prefix = tokenizer.encode(" " + prefix) if prefix else []
        n_most = self._decoder.n_context // 2 - N_OPENING
        if options.sample_len is None and len(self._prefix) > n_most:
            raise UsageError(f"--prefix has {len(self._prefix)} tokens; a window can begin with at most {n_most}")
        known = checkpoint.generation.get("alignment_heads")
        heads = word_alignment.alignment_heads(known, self._decoder.n_layers, self._decoder.n_heads)
        self._aligner = word_alignment.Aligner(self._decoder, heads, tokenizer.end)
        self._batches: dict[int, DecodeBatch] = {}
        self.name = name_of(self._decoder.device)
        self.n_encoded = 0  # windows that have been encoded
        self._n_tokens = 0
        self._stopwatch = Stopwatch(self._wait)
        device = self._decoder.device
        self.recorder = Recorder(device, on_notice) if device.type == "cuda" else None  # None: passes run eagerly
        self.n_together = ENCODE_TOGETHER if device.type == "cuda" else 1
        self._encoder_graphs: CudaGraphs | None = None  # recorded passes of the encoder
        self._encoder_input = torch.empty(0, checkpoint.config["num_mel_bins"], N_FRAMES, device=device)  # their input
        if device.type == "cuda" and not self._decoder.is_fused:
            on_notice(UNFUSED)
        self.resize(n_slots)

    def for_another_thread(self) -> "Runner":
        """A runner of the same model for another thread, with batches of its own and at first one slot."""
        other = copy.copy(self)
        other._batches, other._stopwatch = {}, Stopwatch(other._wait)
        other.n_encoded = other._n_tokens = 0
        other.resize(1)
        return other

    @torch.inference_mode()
    def resize(self, n_slots: int) -> None:
        """Replace the batches by empty ones of another size."""
        self.n_slots = n_slots
        for batch in self.batches:
            batch.close()
        self._batches.clear()
        if self._encoder_graphs is not None:
            self._encoder_graphs.close()
            self._encoder_graphs = None
        if self.recorder is not None:
            shape = (ENCODE_TOGETHER, *self._encoder_input.shape[1:])
            self._encoder_input = self._encoder_input.new_empty(shape, dtype=self._decoder.dtype)
            self._encoder_graphs = CudaGraphs(self.recorder, ENCODE_TOGETHER, _agree)
        groups = [self._group(temperature) for temperature in self._options.temperatures]
        for group in dict.fromkeys(groups):
            n_here = n_slots if group == groups[0] else max(1, n_slots // 4)
            self._batches[group] = DecodeBatch(
                self._decoder, self._rules, self._options, n_here, group, self._stopwatch, self.recorder
            )

    @property
    def batches(self) -> tuple[DecodeBatch, ...]:
        """All batches; the first is that of the first temperature."""
        return tuple(self._batches.values())

    def batch_for(self, window: Window) -> DecodeBatch:
        """The batch for a window's next try."""
        return self._batches[self._group(self._temperature(window))]

    @torch.inference_mode()
    def encode(self, windows: Sequence[Window]) -> None:
        """Set each window's encoder output, (n_audio, d_model)."""
        with self._stopwatch.stage("features"):
            mel = torch.stack(self._features(windows))  # (n_windows, n_mels, n_frames)
        with self._stopwatch.stage("encoder"):
            audio = self._encoded(mel)  # (n_windows, n_audio, d_model)
        self.n_encoded += len(windows)
        for window, one in zip(windows, audio, strict=True):
            window.audio_features = one.clone()  # a view would keep the whole tensor until its last window is finished

    def _encoded(self, mel: Tensor) -> Tensor:
        """The encoder's output, from a recorded pass on CUDA, where launches take longer than the computation."""
        if self._encoder_graphs is None or len(mel) > len(self._encoder_input):
            return self._encoder(mel)
        mel_input = self._encoder_input[: len(mel)].copy_(mel)
        return self._encoder_graphs.run(len(mel), lambda: [self._encoder(mel_input)])[0]

    @torch.inference_mode()
    def insert(self, batch: DecodeBatch, windows: Sequence[Window]) -> list[int]:
        """Put encoded windows into a batch with enough free slots; return their slots."""
        with self._stopwatch.stage("prefill"):
            return batch.add(windows, torch.stack([window.audio_features for window in windows]))

    @torch.inference_mode()
    def detect_languages(self, batch: DecodeBatch, slots: Sequence[int]) -> list[dict[str, float]]:
        """The probability of each language for each slot."""
        codes = list(self._tokenizer.languages)
        found = batch.language_probs(slots, self._tokenizer.start, list(self._tokenizer.languages.values()))
        return [dict(zip(codes, probabilities, strict=True)) for probabilities in found]

    @torch.inference_mode()
    def begin(self, batch: DecodeBatch, seated: Sequence[tuple[int, Window]]) -> None:
        """Begin the next try of windows in their slots, whose language is known, at each one's next temperature."""
        states = [(slot, self._slot_state(window)) for slot, window in seated]
        with self._stopwatch.stage("prefill"):
            self._open(batch, states)

    def _open(self, batch: DecodeBatch, states: Sequence[tuple[int, SlotState]]) -> None:
        tokenizer = self._tokenizer
        batch.begin(states, tokenizer.start, tokenizer.no_speech, list(tokenizer.languages.values()))

    @torch.inference_mode()
    def step(self, batch: DecodeBatch) -> list[tuple[int, Window, SampledTokens]]:
        """Add a token to each row of a batch; return slot, window and sampled tokens of windows that ended."""
        ended = batch.step()
        for _, state, _ in ended:
            if not state.window.tried:
                state.window.no_speech_prob = state.no_speech_prob
                if not state.window.prompt:  # a prompt is in some language, which biases these
                    state.window.language_probs = dict(
                        zip(self._tokenizer.languages, state.language_probs, strict=True)
                    )
        return [(slot, state.window, sampled) for slot, state, sampled in ended]

    def read(self, window: Window, sampled: SampledTokens) -> Decoded:
        """Decode sampled tokens to text, with the figures that judge it."""
        self._n_tokens += len(sampled.tokens) + 1
        return Decoded(
            sampled.tokens,
            self._tokenizer.decode_all(sampled.tokens),
            self._temperature(window),
            sampled.avg_logprob,
            window.no_speech_prob,
            sampled.is_cut,
        )

    @torch.inference_mode()
    def align(self, windows: Sequence[Window]) -> None:
        """Set the times of each window's tokens."""
        openings = [
            self._tokenizer.opening(window.request.language, window.request.clip.settings.task, timed=False)
            for window in windows
        ]
        audio, texts = [window.audio_features for window in windows], [window.align_tokens for window in windows]
        with self._stopwatch.stage("word times"):
            found = self._aligner.align(audio, openings, texts, [window.n_frames for window in windows])
        for window, timings in zip(windows, found, strict=True):
            window.timings = timings

    @property
    def work(self) -> Work:
        """The work done so far."""
        on_cuda = self._decoder.device.type == "cuda"
        peak = torch.cuda.max_memory_allocated(self._decoder.device) if on_cuda else None
        return Work(self.n_encoded, self._n_tokens, dict(self._stopwatch.seconds), peak)

    def measure_stages(self, wanted: bool) -> None:
        """Turn the timing of stages on or off."""
        self._stopwatch.is_on = wanted

    def is_out_of_memory(self, err: Exception) -> bool:
        """True if the error means that the device or the machine ran out of memory."""
        return isinstance(err, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(err)

    @torch.inference_mode()
    def time_step(self, n_slots: int) -> float | None:
        """The seconds of a step with ``n_slots`` silent windows; None if there is not enough memory.

        Leaves the batches empty, with that many slots.
        """
        try:
            self.resize(n_slots)
            batch = self.batches[0]
            opening = self._tokenizer.opening("en", "transcribe", timed=False)
            windows = [Window(None, 0, N_FRAMES) for _ in range(n_slots)]  # type: ignore[arg-type]  # windows without a clip
            slots = batch.add(windows, None)
            states = [
                SlotState(w, opening, self._options.temperatures[0], N_FRAMES, (0,) * batch.n_group) for w in windows
            ]
            self._open(batch, list(zip(slots, states, strict=True)))
            batch.step()
            return min(self._timed(batch) for _ in range(N_STEPS))
        except (MemoryError, RuntimeError) as err:  # torch's error is a RuntimeError
            if not self.is_out_of_memory(err):
                raise
            return None
        finally:
            for batch in self.batches:
                batch.discard(lambda window: True)

    @property
    def sizes(self) -> str:
        """What the time of a step depends on: the decoder's sizes, and the rows of a window."""
        decoder, n_group = self._decoder, self._group(self._options.temperatures[0])
        return f"{decoder.n_layers} layers of {decoder.d_model}, {decoder.n_vocab} ids, {n_group} rows"

    @property
    def bytes_per_slot(self) -> int:
        """The memory of a window in the batches, and of its way there."""
        groups = {self._group(temperature) for temperature in self._options.temperatures}
        rows = self._decoder.bytes_per_window(self._group(self._options.temperatures[0]))
        return rows + sum(self._decoder.bytes_per_window(group) for group in groups) // 4

    @property
    def free_bytes(self) -> float | None:
        """Memory that slots may use; None if it is unknown."""
        return free_bytes(self._decoder.device)

    def _timed(self, batch: DecodeBatch) -> float:
        self._wait()
        began_s = time.perf_counter()
        batch.step()
        self._wait()
        return time.perf_counter() - began_s

    def _wait(self) -> None:
        """Wait for the device."""
        if self._decoder.device.type == "cuda":
            torch.cuda.synchronize(self._decoder.device)

    def close(self) -> None:
        """Free the model and its memory on the device."""
        device = self._decoder.device
        for batch in self.batches:
            batch.close()
        self._batches.clear()
        self._encoder_graphs = None
        del self._encoder, self._decoder, self._aligner, self._encoder_input
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
        return [rows[id(w)] if id(w) in rows else self._file_features(w, w.request) for w in windows]

    def _file_features(self, window: Window, request: Any) -> Tensor:
        samples = request.clip.samples
        if request.loudest is None:
            request.loudest = self._mel.maximum(samples)
        return self._mel.stretch(samples, window.start, window.n_frames, request.loudest)

    def _slot_state(self, window: Window) -> SlotState:
        tokenizer, request, options = self._tokenizer, window.request, self._options
        timed = not options.without_timestamps
        opening = [*self._prompt(window), *tokenizer.opening(request.language, request.clip.settings.task, timed=timed)]
        is_file, n_context = isinstance(request, FileRequest), self._decoder.n_context
        n_half = n_context // 2  # openai-whisper's limit; dense speech in scripts with many tokens per word exceeds it
        sample_len = options.sample_len or (n_half if is_file else n_context)
        prefix: Sequence[int] = self._prefix[-max(0, n_half - sample_len) :]
        n_given = n_returned = 0
        if window.resume_tokens:
            prefix, n_given = window.resume_tokens, len(window.resume_tokens)
        elif prefix and not is_file:  # as in faster-whisper: a prefix follows a timestamp and is part of the text
            prefix = [tokenizer.timestamp_begin, *prefix] if timed else prefix
            n_given = n_returned = len(prefix)
        opening += prefix
        max_tokens = min(len(opening) + sample_len - n_given + n_returned, n_context + 1)
        ends_loops = not is_file and options.compression_ratio_threshold is not None
        n_room = round(TOKENS_A_SECOND * window.duration_s) if ends_loops else None
        keys = tuple(self._keys(window))
        return SlotState(window, opening, self._temperature(window), max_tokens, keys, n_given, n_returned, n_room)

    def _prompt(self, window: Window) -> list[int]:
        if not window.prompt or self._tokenizer.previous is None:
            return []
        return [self._tokenizer.previous, *window.prompt]

    def _keys(self, window: Window) -> Iterator[int]:
        """Keys of the sampling noise, one per candidate."""
        temperature = self._temperature(window)
        if temperature == 0:
            return
        samples = _samples(window)
        for candidate in range(self._options.best_of):
            yield sampling_noise.key(self._options.seed, samples, window.start, temperature, candidate)


def _agree(one: Sequence[Tensor], two: Sequence[Tensor]) -> bool:
    """True if two passes of the encoder gave the same normed states."""
    return torch.allclose(one[0], two[0], rtol=0.05, atol=0.05, equal_nan=True)


def _samples(window: Window) -> np.ndarray:
    """A window's samples, int16 (n_samples,): ``n_frames`` if bounded or of a file, else up to 30 s of the clip."""
    first = window.start * N_HOP
    is_bounded = window.is_bounded or isinstance(window.request, FileRequest)
    n_samples = window.n_frames * N_HOP if is_bounded else N_SAMPLES
    samples: np.ndarray = window.request.clip.samples[first : first + n_samples]
    return samples

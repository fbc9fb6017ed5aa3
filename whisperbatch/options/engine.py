"""Options of the model, of batching and of decoding."""

import math
from dataclasses import dataclass
from pathlib import Path

from whisperbatch.errors import UsageError
from whisperbatch.files import read_bounded
from whisperbatch.options.checks import require, require_text

TASKS = ("transcribe", "translate")
NVIDIA = Path("/proc/driver/nvidia/version")  # exists on Linux if the driver is loaded
COMPUTE_TYPES = ("auto", "float32", "float16", "bfloat16", "int8", "int8_float32", "int8_bfloat16", "int8_float16")
DEVICES = ("auto", "cpu", "cuda", "mps", "all")
MAX_N_GRAM = 448  # tokens, as many as a window can hold
MAX_HOTWORDS_BYTES = 64_000  # size of a file; a prompt has room for a fiftieth of it
TEMPERATURES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)


def parse_temperatures(given: str, increment: float | None) -> tuple[float, ...]:
    """Parse the temperatures to try: a list with commas as given, or one number raised by ``increment`` up to 1."""
    try:
        found = tuple(float(part) for part in given.split(","))
    except ValueError as err:
        raise UsageError(
            f"`temperatures` '{given}' is neither a number such as 0 nor a list such as 0,0.4,0.8"
        ) from err
    if len(found) > 1 or increment is None or not math.isfinite(found[0]):
        return found
    require(0 < increment < math.inf, "`temperature_increment_on_fallback` must be above 0, or None")
    n_steps = int((1.0 - found[0]) / increment + 1e-6)
    return tuple(round(found[0] + step * increment, 6) for step in range(max(0, n_steps) + 1))


def parse_batch_size(given: str | int) -> int | None:
    """Return the number, or None for ``auto``; raise UsageError for anything else."""
    if isinstance(given, int) or given.isdecimal():
        return int(given)
    require(given == "auto", f"`batch_size` '{given}' is neither auto nor a number")
    return None


def join_hotwords(hotwords: str | None, file: Path | None) -> str | None:
    """Join the hotwords and the terms of a file (one a line; lines that begin with # are comments) with commas.

    Raises:
        UsageError: The file cannot be read, or is not text.
    """
    if file is None:
        return hotwords
    try:
        text = read_bounded(file, MAX_HOTWORDS_BYTES).decode("utf-8-sig")
    except OSError as err:
        raise UsageError(f"the hotwords in {file} cannot be read: {err.strerror or err}") from err
    except ValueError as err:  # bytes that are not UTF-8, or a NUL in the file name
        raise UsageError(f"the hotwords in {file} are not UTF-8 text") from err
    terms = [" ".join(line.split()) for line in text.splitlines() if not line.lstrip().startswith("#")]
    return ", ".join(term for term in (hotwords, *terms) if term and term.strip()) or None


def parse_ids(given: str) -> tuple[int, ...]:
    """Parse token ids separated by commas; may raise UsageError."""
    try:
        return tuple(int(part) for part in given.split(",") if part.strip())
    except ValueError as err:
        raise UsageError(f"`suppress_tokens` '{given}' is not a list of token ids such as -1 or 50,257") from err


@dataclass(frozen=True, slots=True)
class BatchOptions:
    """How clips are batched.

    Attributes:
        max_batch_size: Most clips in a batch; None lets the engine choose.
        max_wait_s: Seconds that the first clip of a batch may wait for others.
    """

    max_batch_size: int | None = None
    max_wait_s: float = 1.0

    def __post_init__(self) -> None:
        """Check the ranges."""
        require(self.max_batch_size is None or self.max_batch_size >= 1, "`batch_size` must be auto, or 1 or more")
        require(self.max_wait_s >= 0, "`max_wait` must not be negative")


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """The model and where it runs.

    Attributes:
        model: One of OpenAI's names, a hub id, a folder, ``demo``, or ``random:`` and a name (for ``bench``).
        model_dir: Folder of downloaded models; None means the hub's own cache.
        offline: Never use the network.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``; several with commas; ``all`` for all CUDA devices;
            ``cpu:N`` for N processes that share the cores.
        compute_type: ``auto``, ``float32``, ``float16`` or ``bfloat16``. The prefix ``int8_`` stores the
            cross-attention cache in 8 bits; ``int8_float32`` also multiplies in 8 bits where the CPU can.
            ``int8`` means ``int8_`` plus the type that ``auto`` would choose.
        n_sharing: The number of engines that share the memory of the device.
    """

    model: str = "turbo"
    model_dir: Path | None = None
    offline: bool = False
    device: str = "auto"
    compute_type: str = "auto"
    n_sharing: int = 1

    @property
    def devices(self) -> tuple[str, ...]:
        """Devices, one for each process; ``all`` is not expanded."""
        named: list[str] = []
        for name in self.device.split(","):
            kind, _, number = name.partition(":")
            named += ["cpu"] * int(number) if kind == "cpu" and number else [name]
        return tuple(named)

    @property
    def is_on_gpu(self) -> bool:
        """True if the model will run on an NVIDIA GPU, as far as can be known without torch."""
        first = self.devices[0]
        return first.startswith("cuda") or (first in ("auto", "all") and NVIDIA.exists())

    @property
    def has_random_weights(self) -> bool:
        """True if the model has random weights, which are for measuring speed only."""
        return self.model.startswith("random:")

    def __post_init__(self) -> None:
        """Check the names."""
        names = self.device.split(",")
        for name in names:
            kind, _, number = name.partition(":")
            is_numbered = kind in ("cuda", "cpu") and number.isdecimal() and (kind == "cuda" or int(number) > 0)
            known = kind in DEVICES and (not number or is_numbered) and not name.endswith(":")
            require(known, f"unknown device '{name}'; choose from auto, cpu, cpu:N, cuda, cuda:N, mps, all")
            require(
                kind not in ("auto", "all") or len(names) == 1, f"`device` {kind} cannot be combined with other devices"
            )
        require(
            self.compute_type in COMPUTE_TYPES,
            f"unknown compute type '{self.compute_type}'; choose from {', '.join(COMPUTE_TYPES)}",
        )
        require(bool(self.model), "`model` must not be empty")


@dataclass(frozen=True, slots=True)
class DecodeOptions:
    """How a window is decoded and when its text is good enough; names and defaults are openai-whisper's.

    Attributes:
        beam_size: Beams at temperature 0; 1 is greedy.
        best_of: The number of candidates at temperatures above 0.
        patience: Beam search ends with ``beam_size * patience`` finished candidates.
        length_penalty: Exponent of Google NMT's length penalty, 0 to 1; None ranks by mean log-probability.
        temperatures: Tried in this order until a result is good enough.
        compression_ratio_threshold: Text with a higher ratio repeats itself; None disables the check.
        logprob_threshold: Text with a lower mean log-probability is improbable; None disables the check.
        no_speech_threshold: A window with improbable text and a higher no-speech probability is silence; None disables
            the check.
        condition_on_previous_text: Prompt each window with the text before it (sequential mode).
        carry_initial_prompt: Put the prompt before every window instead of only the first (sequential mode).
        prefix: Text that each window is forced to begin with.
        without_timestamps: Text only; a window is then one segment.
        max_initial_timestamp: Latest first timestamp of a window, in seconds; None sets no limit.
        suppress_tokens: Ids of tokens that are never sampled; -1 stands for the model's own list of symbols that
            are not spoken.
        suppress_blank: Do not let text begin with a blank or the end-of-text token.
        sample_len: Most tokens sampled per window; None is half the decoder's context in sequential mode, as in
            openai-whisper, and all of it in clips mode.
        seed: Seed of the sampling noise.
        second_pass: Decode speech once more that was left without text (clips mode).
        word_timestamps: Find when each word is spoken; segments then start and end with their words.
        prepend_punctuations: Marks that belong to the word after them.
        append_punctuations: Marks that belong to the word before them.
        hallucination_silence_threshold: Skip silences longer than this many seconds around text that may be a
            hallucination, and that text with them. Has no effect without ``word_timestamps``; None disables it.
        repetition_penalty: Factor that lowers the logits of tokens that a window's text already has, as in
            faster-whisper; 1 disables it.
        no_repeat_ngram_size: Length in tokens of sequences that must not occur twice in a window; 0 disables the check.
        multilingual: Detect the language of each clip (sequential mode: each window) when none is given.
    """

    beam_size: int = 5
    best_of: int = 5
    patience: float = 1.0
    length_penalty: float | None = None
    temperatures: tuple[float, ...] = TEMPERATURES
    compression_ratio_threshold: float | None = 2.4
    logprob_threshold: float | None = -1.0
    no_speech_threshold: float | None = 0.6
    condition_on_previous_text: bool = True
    carry_initial_prompt: bool = False
    prefix: str | None = None
    without_timestamps: bool = False
    max_initial_timestamp: float | None = 1.0
    suppress_tokens: tuple[int, ...] = (-1,)
    suppress_blank: bool = True
    sample_len: int | None = None
    seed: int = 0
    second_pass: bool = True
    word_timestamps: bool = False
    prepend_punctuations: str = "\"'“¿([{-"
    append_punctuations: str = "\"'.。,，!！?？:：”)]}、"
    hallucination_silence_threshold: float | None = None
    repetition_penalty: float = 1.0
    no_repeat_ngram_size: int = 0
    multilingual: bool = False

    def __post_init__(self) -> None:
        """Check the ranges."""
        require(self.beam_size >= 1, "`beam_size` must be 1 or more")
        require(self.best_of >= 1, "`best_of` must be 1 or more")
        require(0 < self.patience < math.inf, "`patience` must be above 0")
        require(self.length_penalty is None or 0 <= self.length_penalty <= 1, "`length_penalty` must be from 0 to 1")
        require(bool(self.temperatures), "`temperatures` must name at least one temperature")
        require(all(0 <= t < math.inf for t in self.temperatures), "`temperatures` must not be negative")
        require(self.sample_len is None or self.sample_len >= 1, "`sample_len` must be 1 or more")
        limit_s = self.max_initial_timestamp
        require(limit_s is None or 0 <= limit_s <= 30, "`max_initial_timestamp` must be from 0 to 30 seconds")
        silence_s = self.hallucination_silence_threshold
        require(silence_s is None or silence_s >= 0, "`hallucination_silence_threshold` must not be negative")
        require_text(self.prefix, "`prefix`")
        require(0 < self.repetition_penalty < math.inf, "`repetition_penalty` must be above 0")
        require(0 <= self.no_repeat_ngram_size <= MAX_N_GRAM, f"`no_repeat_ngram_size` must be from 0 to {MAX_N_GRAM}")

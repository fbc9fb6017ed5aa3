"""The model, the batches, the search for text."""

import math
from dataclasses import dataclass
from pathlib import Path

from whisperbatch.errors import UsageError
from whisperbatch.files import read_bounded
from whisperbatch.options.checks import require, require_text

TASKS = ("transcribe", "translate")
NVIDIA = Path("/proc/driver/nvidia/version")  # of the driver, on Linux
COMPUTE_TYPES = ("auto", "float32", "float16", "bfloat16", "int8", "int8_float32", "int8_bfloat16", "int8_float16")
DEVICES = ("auto", "cpu", "cuda", "mps", "all")
MAX_N_GRAM = 448  # tokens, as many as a window can hold
MAX_HOTWORDS_BYTES = 64_000  # of a file; a prompt has room for a fiftieth of it
TEMPERATURES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)


def parse_temperatures(given: str, increment: float | None) -> tuple[float, ...]:
    """Temperatures to try: a list with commas as it is; one number, then warmer by ``increment`` up to 1."""
    try:
        found = tuple(float(part) for part in given.split(","))
    except ValueError as err:
        raise UsageError(f"--temperature '{given}' is no number such as 0 and no list such as 0,0.4,0.8") from err
    if len(found) > 1 or increment is None or not math.isfinite(found[0]):
        return found
    require(0 < increment < math.inf, "--temperature-increment-on-fallback must be above 0, or None")
    n_steps = int((1.0 - found[0]) / increment + 1e-6)
    return tuple(round(found[0] + step * increment, 6) for step in range(max(0, n_steps) + 1))


def parse_batch_size(given: str | int) -> int | None:
    """The number, None for ``auto``; UsageError for anything else."""
    if isinstance(given, int) or given.isdecimal():
        return int(given)
    require(given == "auto", f"--batch-size '{given}' is neither auto nor a number")
    return None


def join_hotwords(hotwords: str | None, file: Path | None) -> str | None:
    """The hotwords, then the terms of a file, a line each without those that begin with #, parted by commas.

    Raises:
        UsageError: The file cannot be read, or is no text.
    """
    if file is None:
        return hotwords
    try:
        text = read_bounded(file, MAX_HOTWORDS_BYTES).decode("utf-8-sig")
    except OSError as err:
        raise UsageError(f"the hotwords in {file} cannot be read: {err.strerror or err}") from err
    except ValueError as err:  # that of bytes which are not UTF-8, or of a NUL in the name
        raise UsageError(f"the hotwords in {file} are not UTF-8 text") from err
    terms = [" ".join(line.split()) for line in text.splitlines() if not line.lstrip().startswith("#")]
    return ", ".join(term for term in (hotwords, *terms) if term and term.strip()) or None


def parse_ids(given: str) -> tuple[int, ...]:
    """Token ids out of a list with commas, or UsageError."""
    try:
        return tuple(int(part) for part in given.split(",") if part.strip())
    except ValueError as err:
        raise UsageError(f"--suppress-tokens '{given}' is no list of token ids such as -1 or 50,257") from err


@dataclass(frozen=True, slots=True)
class BatchOptions:
    """The batcher: clips a batch (None: as many as the engine finds best), and seconds that the first may wait."""

    max_batch_size: int | None = None
    max_wait_s: float = 1.0

    def __post_init__(self) -> None:
        """Check the ranges."""
        require(self.max_batch_size is None or self.max_batch_size >= 1, "--batch-size must be auto, or 1 or more")
        require(self.max_wait_s >= 0, "--max-wait must not be negative")


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """The model and where it runs.

    Attributes:
        model: One of OpenAI's names, a hub id, a folder, ``demo``, or ``random:`` and a name (for ``bench``).
        model_dir: Where downloaded models lie; None means the hub's own cache.
        offline: Never ask the network.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``; several with commas; ``all`` CUDA devices; ``cpu:N``
            for N processes that share the cores.
        compute_type: ``auto``, ``float32``, ``float16`` or ``bfloat16``; with ``int8_`` before it what the decoder
            hears is kept in 8 bits, and in ``int8_float32`` products are in 8 bits where the CPU has such; ``int8`` is
            that before what ``auto`` means.
        n_sharing: How many engines share the memory of the device.
    """

    model: str = "turbo"
    model_dir: Path | None = None
    offline: bool = False
    device: str = "auto"
    compute_type: str = "auto"
    n_sharing: int = 1

    @property
    def devices(self) -> tuple[str, ...]:
        """Each device by itself, one a process; ``all`` stays what it is."""
        named: list[str] = []
        for name in self.device.split(","):
            kind, _, number = name.partition(":")
            named += ["cpu"] * int(number) if kind == "cpu" and number else [name]
        return tuple(named)

    @property
    def is_on_gpu(self) -> bool:
        """Whether the model runs on an NVIDIA GPU, as far as can be told without torch."""
        first = self.devices[0]
        return first.startswith("cuda") or (first in ("auto", "all") and NVIDIA.exists())

    @property
    def has_random_weights(self) -> bool:
        """Whether the model only has the shape of one."""
        return self.model.startswith("random:")

    def __post_init__(self) -> None:
        """Check the names."""
        names = self.device.split(",")
        for name in names:
            kind, _, number = name.partition(":")
            is_numbered = kind in ("cuda", "cpu") and number.isdecimal() and (kind == "cuda" or int(number) > 0)
            known = kind in DEVICES and (not number or is_numbered) and not name.endswith(":")
            require(known, f"unknown device '{name}'; choose from auto, cpu, cpu:N, cuda, cuda:N, mps, all")
            require(kind not in ("auto", "all") or len(names) == 1, f"--device {kind} goes with no other device")
        require(
            self.compute_type in COMPUTE_TYPES,
            f"unknown compute type '{self.compute_type}'; choose from {', '.join(COMPUTE_TYPES)}",
        )
        require(bool(self.model), "--model must not be empty")


@dataclass(frozen=True, slots=True)
class DecodeOptions:
    """How text is searched for and when it is good enough; defaults and names are those of openai-whisper.

    Attributes:
        beam_size: Beams at temperature 0; 1 is greedy.
        best_of: Candidates at temperatures above 0.
        patience: Beam search ends with ``beam_size * patience`` finished candidates.
        length_penalty: Exponent of Google NMT's length penalty, 0 to 1; None ranks by mean log-probability.
        temperatures: Tried in this order until a result is good enough.
        compression_ratio_threshold: Above it text repeats itself; None asks nothing.
        logprob_threshold: Below it text is improbable; None asks nothing.
        no_speech_threshold: Above it a window with improbable text is silence; None asks nothing.
        condition_on_previous_text: Put what was heard before a window (sequential mode).
        carry_initial_prompt: Put the prompt before every window and not before the first only (sequential mode).
        prefix: Text that each window is made to begin with.
        without_timestamps: Text only; a window is then one segment.
        max_initial_timestamp: Seconds; the first timestamp of a window is no later. None asks nothing.
        suppress_tokens: Ids never given; -1 stands for the model's own list of symbols that nobody speaks.
        suppress_blank: Whether text may not begin with a blank or its end.
        sample_len: Most tokens sampled a window; None is half of what the decoder holds in sequential mode, as in
            openai-whisper, and all that it holds in clips mode.
        seed: Of the sampling noise.
        second_pass: Decode speech that was left without text once more (clips mode).
        word_timestamps: Find when each word is said; segments then start and end with their words.
        prepend_punctuations: Marks that go to the word after them.
        append_punctuations: Marks that go to the word before them.
        hallucination_silence_threshold: Seconds; longer silences around text that may be made up are skipped, and the
            text with them. Means nothing without ``word_timestamps``; None asks nothing.
        repetition_penalty: Tokens that a window's text has already are made less probable by this factor on their
            logits, as faster-whisper does it; 1 asks nothing.
        no_repeat_ngram_size: So many tokens in a row never come twice in a window; 0 asks nothing.
        multilingual: Find each clip's language by itself (sequential mode: each window's), where none is given.
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
        require(self.beam_size >= 1, "--beam-size must be 1 or more")
        require(self.best_of >= 1, "--best-of must be 1 or more")
        require(0 < self.patience < math.inf, "--patience must be above 0")
        require(self.length_penalty is None or 0 <= self.length_penalty <= 1, "--length-penalty must be from 0 to 1")
        require(bool(self.temperatures), "--temperature must name one temperature or more")
        require(all(0 <= t < math.inf for t in self.temperatures), "--temperature must not be negative")
        require(self.sample_len is None or self.sample_len >= 1, "--sample-len must be 1 or more")
        limit_s = self.max_initial_timestamp
        require(limit_s is None or 0 <= limit_s <= 30, "--max-initial-timestamp must be from 0 to 30 seconds")
        silence_s = self.hallucination_silence_threshold
        require(silence_s is None or silence_s >= 0, "--hallucination-silence-threshold must not be negative")
        require_text(self.prefix, "--prefix")
        require(0 < self.repetition_penalty < math.inf, "--repetition-penalty must be above 0")
        require(0 <= self.no_repeat_ngram_size <= MAX_N_GRAM, f"--no-repeat-ngram-size must be from 0 to {MAX_N_GRAM}")

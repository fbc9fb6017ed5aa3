"""The engine on transformers' ``generate``: one batch of windows to its end, greedy, timestamps on.

Comes in: clips. Goes out: ClipText. Who calls: the pipeline's engine thread, through ``open_engine``. The encoder runs
once a window: language and no-speech probability come from one decoder step on its output, and ``generate`` takes it
from there. A clip whose text ends before its audio does goes on with another window in a later batch. No fallback.
On CUDA not yet run.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from transformers import LogitsProcessor
from transformers.modeling_outputs import BaseModelOutput

from whisperbatch.engine import EngineFacts, checkpoint, devices, fallback, segments
from whisperbatch.errors import InferenceError, ModelError, UsageError
from whisperbatch.options import EngineOptions
from whisperbatch.records import SAMPLE_RATE, Clip, ClipFailed, ClipSettings, ClipText, Segment

MAX_SAMPLED = 224  # tokens a window, as in openai-whisper
MAX_PROMPT = 223
N_FORCED = 3  # start of transcript, language, task
MIN_REST_S = 0.1  # less audio than this at a clip's end holds no word


@dataclass(slots=True)
class _Request:
    """One clip's decode state: how far it has come and what was heard so far."""

    clip: Clip
    seek_s: float = 0.0
    language: str | None = None
    language_probability: float | None = None
    heard: list[Segment] = field(default_factory=list)

    @property
    def window(self) -> np.ndarray:
        """The samples that are still to be decoded, float32 in [-1, 1)."""
        rest = self.clip.samples[round(self.seek_s * SAMPLE_RATE) :]
        return rest.astype(np.float32) / 32768.0

    @property
    def rest_s(self) -> float:
        return self.clip.duration_s - self.seek_s


class _TokenLogprobs(LogitsProcessor):
    """Sums each row's log-probability of the greedy choice; runs after all other processors.

    ``sums`` is float32 (n_rows,), end of text included once.
    """

    def __init__(self, n_rows: int, end_of_text: int, device: torch.device) -> None:
        self.sums = torch.zeros(n_rows, device=device)
        self._end_of_text = end_of_text
        self._open = torch.ones(n_rows, dtype=torch.bool, device=device)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        best, chosen = torch.log_softmax(scores.float(), dim=-1).max(dim=-1)
        self.sums += best * self._open
        self._open &= chosen != self._end_of_text
        return scores


class GenerateEngine:
    """A whole-batch engine: it takes a batch when it holds none, and works until each of its clips is used up."""

    def __init__(
        self,
        options: EngineOptions,
        settings: ClipSettings,
        *,
        max_batch_size: int,
        demo: Path,
        on_notice: Callable[[str], None],
    ) -> None:
        """Find and load the model; see ``open_engine``."""
        place = devices.choose(options)
        found = checkpoint.find(options, demo, on_notice)
        self._checkpoint = checkpoint.load(found, place)
        self._refuse(settings)
        self._place = place
        self._max_batch_size = max_batch_size
        self._waiting: deque[_Request] = deque()
        config = self._checkpoint.model.generation_config
        if getattr(config, "no_timestamps_token_id", None) is None:
            raise ModelError(f"the model {found.name} has no timestamps in its generation settings")
        self._n_text = self._checkpoint.model.config.max_target_positions
        self._timestamp_begin = config.no_timestamps_token_id + 1
        self.facts = EngineFacts(found.name, found.revision, str(place.device), place.compute_type)

    @property
    def capacity(self) -> int:
        """A whole batch when it holds none, else 0."""
        return 0 if self._waiting else self._max_batch_size

    @property
    def idle(self) -> bool:
        """Whether it holds no clip."""
        return not self._waiting

    def admit(self, clips: Sequence[Clip]) -> None:
        """Take a batch."""
        self._waiting.extend(_Request(clip, language=clip.settings.language) for clip in clips)

    def cancel(self, file_id: int) -> None:
        """Forget a file's clips."""
        self._waiting = deque(request for request in self._waiting if request.clip.file_id != file_id)

    def step(self) -> list[ClipText | ClipFailed]:
        """One window of each clip that is held and asks for the same; the clips that are finished with it."""
        requests = self._take()
        if not requests:
            return []
        done: list[ClipText | ClipFailed] = []
        for request, error in zip(requests, self._advance(requests), strict=True):
            if error is not None:
                reason = str(error).strip().partition("\n")[0] or type(error).__name__
                failure = InferenceError(f"the model failed on it ({reason})")
                failure.__cause__ = error
                done.append(ClipFailed(request.clip.file_id, request.clip.index, failure))
            elif request.rest_s < MIN_REST_S:
                done.append(_finished(request))
            else:
                self._waiting.append(request)
        return done

    def close(self) -> None:
        """Drop the model and what the device holds for it."""
        self._waiting.clear()
        del self._checkpoint
        if self._place.device.type == "cuda":
            torch.cuda.empty_cache()

    def _refuse(self, settings: ClipSettings) -> None:
        """Raise UsageError when the model can't do what clips will ask."""
        name, languages = self._checkpoint.found.name, self._checkpoint.languages
        if settings.task == "translate" and not self._checkpoint.can_translate:
            raise UsageError(f"model {name} was not trained to translate; use large-v3 or medium with --task translate")
        if settings.language and languages and settings.language not in languages:
            raise UsageError(f"model {name} does not know the language '{settings.language}'")
        if settings.language not in (None, "en") and not languages:
            raise UsageError(
                f"model {name} knows English only, so --language {settings.language} cannot be used with it"
            )

    def _take(self) -> list[_Request]:
        """The next windows that can share a ``generate`` call: same task, same prompt."""

        def asks(request: _Request) -> tuple[str, str | None]:
            return request.clip.settings.task, request.clip.settings.prompt if request.seek_s == 0 else None

        taken: list[_Request] = []
        kept: deque[_Request] = deque()
        while self._waiting:
            request = self._waiting.popleft()
            fits = len(taken) < self._max_batch_size and (not taken or asks(request) == asks(taken[0]))
            (taken if fits else kept).append(request)
        self._waiting = kept
        return taken

    def _advance(self, requests: list[_Request]) -> list[Exception | None]:
        """Decode a window of each; a batch that fails is split until the culprit stands alone."""
        try:
            self._decode(requests)
        except Exception as err:
            if len(requests) == 1:
                return [err]
            half = len(requests) // 2
            return self._advance(requests[:half]) + self._advance(requests[half:])
        return [None] * len(requests)

    @torch.inference_mode()
    def _decode(self, requests: list[_Request]) -> None:
        asked = requests[0].clip.settings
        model = self._checkpoint.model
        features = self._checkpoint.feature_extractor(
            [request.window for request in requests],
            sampling_rate=SAMPLE_RATE,
            return_tensors="pt",
            return_attention_mask=True,
            device=str(self._place.device),
        )
        mel = features.input_features.to(self._place.device, self._place.dtype)  # (n_rows, n_mels, n_frames)
        audio = model.get_encoder()(mel).last_hidden_state  # (n_rows, n_audio, d_model)
        no_speech = self._listen(requests, audio)
        logprobs = _TokenLogprobs(len(requests), model.generation_config.eos_token_id, self._place.device)
        multilingual = self._checkpoint.is_multilingual
        prompt = self._prompt(asked.prompt) if requests[0].seek_s == 0 else None
        sampled = model.generate(
            encoder_outputs=BaseModelOutput(last_hidden_state=audio),
            attention_mask=features.attention_mask.to(self._place.device),
            language=[request.language for request in requests] if multilingual else None,
            task=asked.task if multilingual else None,
            prompt_ids=prompt,
            return_timestamps=True,
            force_unique_generate_call=True,
            logits_processor=[logprobs],
            max_length=None,
            max_new_tokens=min(MAX_SAMPLED, self._n_text - N_FORCED - (0 if prompt is None else len(prompt))),
            do_sample=False,
            num_beams=1,
        )
        rows = sampled.tolist()
        for request, row, total, silence in zip(requests, rows, logprobs.sums.tolist(), no_speech, strict=True):
            self._hear(request, self._text_tokens(row), total, silence)

    def _listen(self, requests: list[_Request], audio: Tensor) -> list[float]:
        """The no-speech probability of each window; fills in languages that were not given."""
        model = self._checkpoint.model
        config = model.generation_config
        start = torch.full((len(requests), 1), config.decoder_start_token_id, device=audio.device)
        logits = model(encoder_outputs=BaseModelOutput(last_hidden_state=audio), decoder_input_ids=start).logits[:, -1]
        logits = logits.float()
        silence = logits.softmax(dim=-1)[:, config.no_timestamps_token_id - 1]  # <|nospeech|> stands before it
        languages = self._checkpoint.languages
        if languages:
            codes = list(languages)
            chances, best = logits[:, [languages[code] for code in codes]].softmax(dim=-1).max(dim=-1)
            for request, chance, index in zip(requests, chances.tolist(), best.tolist(), strict=True):
                if request.language is None:
                    request.language, request.language_probability = codes[index], chance
        return silence.tolist()

    def _prompt(self, text: str | None) -> Tensor | None:
        """Previous text as ids, ``<|startofprev|>`` first, its last ``MAX_PROMPT`` tokens kept."""
        if not text or not text.strip():
            return None
        tokens = self._checkpoint.tokenizer.encode(" " + text.strip(), add_special_tokens=False)[-MAX_PROMPT:]
        previous = self._checkpoint.tokenizer.convert_tokens_to_ids("<|startofprev|>")
        return torch.tensor([previous, *tokens], device=self._place.device)

    def _text_tokens(self, row: list[int]) -> list[int]:
        """What was sampled: no prompt and no forced tokens before it, no end of text after it."""
        config = self._checkpoint.model.generation_config
        end, start = config.eos_token_id, config.decoder_start_token_id
        row = row[row.index(start) :] if start in row else row
        first = next((i for i, token in enumerate(row) if token < end or token >= self._timestamp_begin), len(row))
        last = row.index(end, first) if end in row[first:] else len(row)
        return row[first:last]

    def _hear(self, request: _Request, tokens: list[int], logprob_sum: float, no_speech_prob: float) -> None:
        """Add a window's segments to its clip and move on."""
        avg_logprob = logprob_sum / (len(tokens) + 1)
        pieces, moved_s = segments.split(tokens, self._timestamp_begin, min(request.rest_s, 30.0))
        decode = self._checkpoint.tokenizer.decode
        whole = decode([token for token in tokens if token < self._timestamp_begin], skip_special_tokens=True)
        if fallback.is_silence(no_speech_prob, avg_logprob):
            pieces = []
        for piece in pieces:
            text = decode([t for t in piece.tokens if t < self._timestamp_begin], skip_special_tokens=True)
            if not text.strip() or piece.start_s >= request.rest_s:
                continue
            request.heard.append(
                Segment(
                    start_s=request.seek_s + piece.start_s,
                    end_s=min(request.seek_s + max(piece.end_s, piece.start_s), request.clip.duration_s),
                    text=text,
                    tokens=piece.tokens,
                    seek=round(request.seek_s * 100),
                    avg_logprob=avg_logprob,
                    compression_ratio=fallback.compression_ratio(whole.strip()),
                    no_speech_prob=no_speech_prob,
                )
            )
        request.seek_s = round(request.seek_s + moved_s, 3) if moved_s < request.rest_s else request.clip.duration_s


def _finished(request: _Request) -> ClipText:
    clip = request.clip
    return ClipText(
        clip.file_id, clip.index, tuple(request.heard), request.language or "en", request.language_probability
    )

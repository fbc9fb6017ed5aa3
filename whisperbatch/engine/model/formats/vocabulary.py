"""Find or build a model's tokenizer: from its folder, from a list of tokens, or OpenAI's own.

A byte-level vocabulary in order of rank defines Whisper's tokenizer completely: two neighbouring tokens are merged
whenever together they are a token, the lowest rank first. ``from_bytes`` makes a ``tokenizers.Tokenizer`` of it, with
special tokens where openai-whisper has them (whisper/tokenizer.py, MIT).
"""

import base64
import json
from collections.abc import Callable, Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from whisperbatch.engine.model import model_names
from whisperbatch.errors import ModelError
from whisperbatch.languages import LANGUAGES

FILE = "tokenizer.json"
N_TIMES = 1501  # <|0.00|> to <|30.00|>
N_ENGLISH = 51_864  # ids of an English-only model; multilingual ones have more
AROUND_LANGUAGES = (
    ("<|endoftext|>", "<|startoftranscript|>"),
    ("<|translate|>", "<|transcribe|>", "<|startoflm|>", "<|startofprev|>", "<|nospeech|>", "<|notimestamps|>"),
)
TIKTOKEN = {True: "gpt2.tiktoken", False: "multilingual.tiktoken"}  # openai-whisper's files; True: English-only


def in_folder(folder: Path) -> Any:
    """The tokenizer in a folder, in one file or in transformers' older layout; None if there is none."""
    if (folder / FILE).is_file():
        return from_file(folder / FILE)
    if not (folder / "vocab.json").is_file():
        return None
    from transformers import WhisperTokenizer

    return WhisperTokenizer.from_pretrained(folder, local_files_only=True).backend_tokenizer


def from_file(path: Path) -> Any:
    """The tokenizer in a ``tokenizer.json``; ValueError if the file holds none."""
    from tokenizers import Tokenizer

    if "model" not in json.loads(path.read_text(encoding="utf-8")):  # else the library raises a bare Exception
        raise ValueError(f"its {FILE} holds no vocabulary")
    return Tokenizer.from_file(str(path))


def from_bytes(tokens: Sequence[bytes], n_vocab: int) -> Any:
    """The tokenizer of a vocabulary in order of rank, plus special tokens; ``n_vocab`` ids in all.

    Raises:
        ValueError: There are too few tokens, or a byte is missing.
    """
    specials = special_tokens(n_vocab)
    n_plain = n_vocab - len(specials)
    if len(tokens) < n_plain:
        raise ValueError(f"its vocabulary has {len(tokens)} tokens, but {n_plain} are needed")
    return _tokenizer([_as_gpt2_token(token) for token in tokens[:n_plain]], specials)


def from_gpt2_tokens(tokens: Sequence[str], n_vocab: int) -> Any:
    """The tokenizer of tokens that are written with GPT-2's characters for bytes, as in CTranslate2's lists."""
    n_plain = n_vocab - len(special_tokens(n_vocab))
    if len(tokens) < n_plain or not all(isinstance(token, str) for token in tokens):
        raise ValueError(f"its vocabulary has {len(tokens)} tokens, but {n_plain} are needed")
    return _tokenizer(list(tokens[:n_plain]), special_tokens(n_vocab))


def special_tokens(n_vocab: int) -> list[str]:
    """The special tokens of a model with ``n_vocab`` ids, in order; ValueError if OpenAI has no such vocabulary."""
    before, after = AROUND_LANGUAGES
    n_languages = n_vocab - 51_765 - (n_vocab > N_ENGLISH)
    if not 0 < n_languages <= len(LANGUAGES):
        raise ValueError(f"its vocabulary of {n_vocab} ids is not one of OpenAI's")
    languages = (f"<|{code}|>" for code in list(LANGUAGES)[:n_languages])
    return [*before, *languages, *after, *(f"<|{step * 0.02:.2f}|>" for step in range(N_TIMES))]


def openai_tokenizer(n_vocab: int, model_dir: Path | None, *, offline: bool, on_notice: Callable[[str], None]) -> Any:
    """OpenAI's tokenizer with ``n_vocab`` ids: from the hub's cache, an installed openai-whisper, or the hub.

    Raises:
        ModelError: It is unavailable.
        ValueError: OpenAI has no such vocabulary.
    """
    from huggingface_hub import hf_hub_download, try_to_load_from_cache
    from huggingface_hub.errors import HTTPError, LocalEntryNotFoundError

    special_tokens(n_vocab)
    repos, place = model_names.repositories_with_vocabulary(n_vocab), model_dir or model_names.hub_cache()
    for repo in repos:
        if isinstance(cached := try_to_load_from_cache(repo, FILE, cache_dir=place), str):
            return from_file(Path(cached))
    if (ranks := _openai_whisper_ranks(n_vocab)) is not None:
        return from_bytes(ranks, n_vocab)
    missing = "the checkpoint has no tokenizer, and none is in the cache or in an installed openai-whisper"
    fetched = model_names.short_name(repos[0])
    remedy = f"run 'whisperbatch fetch {fetched}' where there is a network, or put {fetched}'s {FILE} beside it"
    if offline:
        raise ModelError(f"{missing}; {remedy}")
    try:
        on_notice(f"fetching the tokenizer of {repos[0]} (about 2 MB)")
        return from_file(Path(hf_hub_download(repos[0], FILE, cache_dir=place)))
    except (OSError, HTTPError, LocalEntryNotFoundError) as err:
        raise ModelError(f"{missing}, and the hub cannot be reached; {remedy}") from err


def _openai_whisper_ranks(n_vocab: int) -> list[bytes] | None:
    """The vocabulary of an installed openai-whisper, without importing it; None if it is not installed."""
    spec = find_spec("whisper")
    if spec is None or spec.origin is None:
        return None
    file = Path(spec.origin).parent / "assets" / TIKTOKEN[n_vocab == N_ENGLISH]
    if not file.is_file():
        return None
    rows = (line.split() for line in file.read_bytes().splitlines() if line.strip())
    ranks = {int(rank): base64.b64decode(token) for token, rank in rows}
    return [ranks[rank] for rank in range(len(ranks))]


def _byte_characters() -> list[str]:
    """GPT-2's printable character for each byte: the byte's own if it has one, else one from 256 on."""
    own = {*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAC + 1), *range(0xAE, 0xFF + 1)}
    others = iter(range(256, 512))
    return [chr(byte if byte in own else next(others)) for byte in range(256)]


_BYTE_CHARACTERS = _byte_characters()


def _as_gpt2_token(token: bytes) -> str:
    return "".join(_BYTE_CHARACTERS[byte] for byte in token)


def _tokenizer(tokens: list[str], specials: Iterable[str]) -> Any:
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    ranks = {token: rank for rank, token in enumerate(tokens)}
    if not ranks.keys() >= set(_BYTE_CHARACTERS):
        raise ValueError("its vocabulary does not cover every byte")
    tokenizer = Tokenizer(models.BPE(vocab=ranks, merges=_merges(ranks), fuse_unk=False))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in specials])
    return tokenizer


def _merges(ranks: dict[str, int]) -> list[tuple[str, str]]:
    """Every pair of tokens whose concatenation is a token, in order of that token's rank."""
    pairs = []
    for token, rank in ranks.items():
        halves = ((token[:at], token[at:]) for at in range(1, len(token)))
        known = (pair for pair in halves if pair[0] in ranks and pair[1] in ranks)
        pairs += [(rank, ranks[one], ranks[two], one, two) for one, two in known]
    return [(one, two) for *_, one, two in sorted(pairs)]

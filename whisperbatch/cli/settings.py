"""Turns a command's parameters into options."""

from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import Any

from whisperbatch.cli import failures
from whisperbatch.errors import UsageError
from whisperbatch.languages import parse_language
from whisperbatch.options import (
    DEFAULT_FORMATS,
    DOCUMENTS,
    SHAPED,
    BatchOptions,
    DecodeOptions,
    DocumentOptions,
    EngineOptions,
    FailureOptions,
    HookOptions,
    JournalOptions,
    LoadOptions,
    OutputOptions,
    RunOptions,
    SpeechOptions,
    SubtitleOptions,
    WatchOptions,
    WorkerOptions,
    join_hotwords,
    parse_batch_size,
    parse_formats,
    parse_hook,
    parse_ids,
    parse_names,
    parse_temperatures,
    parse_times,
    parse_track,
    replacements,
    speaker_options,
    subtitle_options,
)
from whisperbatch.records import ClipSettings


def run_options(given: dict[str, Any]) -> RunOptions:
    """Return a run's options from a command's parameters."""
    formats = parse_formats(given["format"] or DEFAULT_FORMATS)
    return RunOptions(
        engine=EngineOptions(
            given["model"], given["model_dir"], given["offline"], given["device"], str(given["compute_type"])
        ),
        load=LoadOptions(
            given["load_workers"],
            str(given["channels"]),
            parse_names(given["channel_names"]),
            given["max_duration"],
            given["spool_dir"],
            parse_track(given["track"]),
            given["sidecars"],
        ),
        speech=SpeechOptions(
            given["vad"],
            given["vad_threshold"],
            given["vad_min_silence"],
            given["vad_min_speech"],
            given["vad_pad"],
        ),
        batch=BatchOptions(parse_batch_size(given["batch_size"]), given["max_wait"]),
        decode=_decode_options(given),
        output=OutputOptions(
            formats,
            given["output_dir"],
            given.get("relative_to"),
            given["name"],
            given["overwrite"],
            write=not given["stdout"],
            subtitles=shaping_options(given),
            documents=document_options(given),
            move_done=given.get("move_done"),
            move_failed=given.get("move_failed"),
            replace=replacements(given["replace"] or None),
        ),
        clip=ClipSettings(
            parse_language(given["language"]) if given["language"] else None,
            str(given["task"]),
            given["prompt"],
            str(given["long_form"]),
            parse_times(given["clip_timestamps"] or ""),
            join_hotwords(given["hotwords"], given["hotwords_file"]),
        ),
        journal=_journal_options(given),
        failures=FailureOptions(given["retries"], given["load_timeout"], given["max_failures"], given["fail_fast"]),
        workers=WorkerOptions(str(given["backend"]), given["ray_address"], given["actors"], given["cpus_per_actor"]),
        hooks=_hook_options(given),
        speakers=speaker_options(given["speakers"], given["speaker_names"], given["speaker_model"]),
    )


def watch_options(given: dict[str, Any]) -> WatchOptions:
    """Return the watch options; raise UsageError if recordings would be moved into the place they are searched in."""
    moves = {flag: given[flag[2:].replace("-", "_")] for flag in ("--move-done", "--move-failed")}
    for flag, place in moves.items():
        for folder in map(Path, given["folders"]):
            if place is not None and _holds(place, folder):
                raise UsageError(
                    f"{flag} {place} is or contains the drop folder {folder}; name a folder beside or below it"
                )
    return WatchOptions(
        given["settle"],
        given["until_idle"],
        given["rescan"],
        given["poll"],
        tuple(place for place in moves.values() if place is not None),
    )


def _holds(place: Path, folder: Path) -> bool:
    """Return True if a place is the folder or one above it, under any of its names."""
    above = folder.resolve()
    if above.is_relative_to(place.resolve()):
        return True
    with suppress(OSError):
        return any(place.samefile(one) for one in (above, *above.parents))
    return False


def _decode_options(given: dict[str, Any]) -> DecodeOptions:
    """A field of DecodeOptions takes the parameter of its name; these three are converted."""
    plain = {field.name: given[field.name] for field in fields(DecodeOptions) if field.name in given}
    converted = {
        "patience": 1.0 if given["patience"] is None else given["patience"],
        "temperatures": parse_temperatures(given["temperature"], given["temperature_increment_on_fallback"]),
        "suppress_tokens": parse_ids(given["suppress_tokens"]),
    }
    return DecodeOptions(**plain | converted)


def _hook_options(given: dict[str, Any]) -> HookOptions:
    names = ("on_done", "on_failed", "on_end")
    commands = {name: parse_hook(given[name], name) for name in names}
    return HookOptions(**commands, hook_timeout_s=given["hook_timeout"], hook_jobs=given["hook_jobs"])


def _journal_options(given: dict[str, Any]) -> JournalOptions:
    named = [given.get("paths"), given.get("folders"), given.get("from_file"), Path.cwd()]
    return JournalOptions(
        use_journal=not given["no_journal"],
        journal=given["journal"],
        redo=given["redo"],
        redo_scope=repr(named),
        retry_failed=given["retry_failed"],
        dedupe=not given["no_dedupe"],
    )


def shaping_options(given: dict[str, Any]) -> SubtitleOptions:
    """Return the subtitle options from a command's parameters."""
    names = ("max_line_width", "max_line_count", "max_words_per_line", "max_cps")
    values = {name: given[name] for name in names} | {
        "highlight_words": given["highlight_words"] or None,
        "break_at": given["break_at"] and str(given["break_at"]),
        "min_cue_s": given["min_cue"],
        "max_cue_s": given["max_cue"],
    }
    shaping = subtitle_options(given["subtitles"] and str(given["subtitles"]), values)
    formats = parse_formats(given["format"] or DEFAULT_FORMATS)
    if shaping != SubtitleOptions() and SHAPED.isdisjoint(formats):
        failures.say(f"subtitle options have no effect on {', '.join(formats)}; add --format srt, vtt or ass")
    return shaping


def document_options(given: dict[str, Any]) -> DocumentOptions:
    """Return the document options from a command's parameters; print a notice if they have no effect."""
    documents = DocumentOptions(given["paragraph_pause"], given["timestamps_in_text"])
    formats = parse_formats(given["format"] or DEFAULT_FORMATS)
    is_divided = any(name in DOCUMENTS and (name != "txt" or documents.has_stamps(name)) for name in formats)
    if documents != DocumentOptions() and not is_divided:
        failures.say(f"paragraph options have no effect on {', '.join(formats)}; add --format docx or md")
    return documents

"""Machine-readable output: --report at the end, --events during the run, status --json.

--report FILE.json is written at the end:

    schema       1
    version      of whisperbatch
    files        each with path, status, reason, error, audio_seconds,
                 wall_seconds, outputs, moved_to if it was moved, and if
                 done language, language_probability, speech_seconds,
                 covered_seconds, suspects, warnings
    hooks        if any failed: each with path, hook, id, reason
    totals       done, failed, skipped, interrupted, audio_seconds,
                 wall_seconds, real_time_factor, hooks_failed, exit_code

--events FILE (or -) gets a line of JSON for each event, with v (1), event, time and usually path.
The events:

    queued
    started
    loaded       duration, n_clips, n_waiting (clips that wait for the model)
    batch        n_clips, n_files, audio_seconds, n_waiting
    segment      start, end, text; in the order of decoding
    notice       text; of a hook that failed also hook, id and reason
    progress     n_files, n_ended, n_failed, audio_seconds (decoded so far),
                 audio_seconds_expected, real_time_factor, seconds_left (null
                 if unknown); once a minute, later less often
    done, failed, skipped, interrupted
                 the same as the file's entry in the report

Keys may be added; v increases when one is removed or changes its meaning.
"""

OPTIONS = ("--report", "--events", "--progress", "--quiet", "--verbose")

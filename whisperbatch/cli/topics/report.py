"""What programs may read: --report at the end, --events while it runs, status --json.

--report FILE.json is written at the end:

    schema       1
    version      of whisperbatch
    files        each with path, status, reason, error, audio_seconds,
                 wall_seconds, outputs, moved_to when it was moved, and when
                 done language, language_probability, speech_seconds,
                 covered_seconds, suspects, warnings
    hooks        when some failed: each with path, hook, id, reason
    totals       done, failed, skipped, interrupted, audio_seconds,
                 wall_seconds, real_time_factor, hooks_failed, exit_code

--events FILE (or -) gets a JSON line whenever something happens: v (1), event, time and most
often path. The events:

    queued
    started
    loaded       duration, n_clips, n_waiting (clips that wait for the model)
    batch        n_clips, n_files, audio_seconds, n_waiting
    segment      start, end, text; in the order of decoding
    notice       text; of a hook that failed also hook, id and reason
    progress     n_files, n_ended, n_failed, audio_seconds (decoded so far),
                 audio_seconds_expected, real_time_factor, seconds_left (null
                 when nobody can tell); once a minute, later more seldom
    done, failed, skipped, interrupted
                 what the report tells of the file

Keys may be added; when one goes or changes, v counts up.
"""

OPTIONS = ("--report", "--events", "--progress", "--quiet", "--verbose")

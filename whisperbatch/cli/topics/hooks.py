r"""Your own commands when a recording is done or has failed, and at the end of the run.

    whisperbatch transcribe calls/ --on-done 'notify-send {path}'
    whisperbatch watch inbox/ --on-failed 'logger failed {path}: {error}'
    whisperbatch watch inbox/ --on-done 'curl -sSf --json @- https://example.org'

A command is split into arguments once and started without a shell. Then {path}, {txt}, {srt} and
the other formats that are written, {language}, {status}, {id} and {error} are filled in, each
within its argument, whatever the file name contains; {{path}} stands for the text {path} itself.
--on-end has {status}, {exit_code}, {done}, {failed}, {skipped} and {interrupted}. A command
without any of these gets one line of JSON on standard input: what --report says about the
recording, with "id" and "hook"; or the run's totals. For pipes and variables name a script, or
sh -c with the values as its arguments:

    --on-done 'sh -c "mail -s done me@example.org < \"$1\"" sh {txt}'
    --on-done 'cp -- {txt} {json} /srv/archive/'

--on-done runs when all outputs are on disk and recorded in the journal, also if only a missing
format was made from the JSON, but not for recordings that were done before. A command that fails,
or is killed after --hook-timeout, is reported with the last lines of its standard error, also in
--report and --events. It does not fail the transcript or change the exit code.

With a journal each command runs at least once for its recording: one that was due when a run was
killed, or that failed, is run by the next run with the same command, or by one that finds the
recording again, at most 3 times in all. {id} is then the same, so that a script can see that it
has done its work. With --no-journal or --stdout each runs once and is not repeated. The first
Ctrl-C waits for commands no longer than --hook-timeout; the rest are run next time. --on-end runs
once a run, after the report is written, even if an error ended the run.
"""

OPTIONS = ("--on-done", "--on-failed", "--on-end", "--hook-timeout", "--hook-jobs")

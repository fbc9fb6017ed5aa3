"""What happens when a file fails, what is retried, and what Ctrl-C does.

A failure costs only its own file. What may be temporary (a disk or network error, lack of memory)
is retried; a file on which a load worker dies or hangs is tried once more, alone; if a folder
goes away, the run waits for it. A folder that cannot be read counts as a failed file. At the end
the exit code is 1 if any file failed.

Ctrl-C or SIGTERM stops taking new files, finishes and writes the files being decoded, and exits
with 130; a second one quits at once. A closed terminal does not end the run. In every case
finished transcripts are safe: see "whisperbatch help resume".
"""

OPTIONS = ("--retries", "--load-timeout", "--retry-failed", "--max-failures", "--fail-fast", "--verbose")

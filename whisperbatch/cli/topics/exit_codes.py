"""What the exit code says.

    0      all is done or skipped
    1      some file failed, and the others are done; search found nothing
    2      the command makes no sense as given; nothing was done
    3      the run could not go on
    130    it was interrupted; the same command does the rest

Hooks (--on-done) that fail change no exit code.

watch ends with 130 when SIGTERM or Ctrl-C ends it, which a service may take for success.
"""

OPTIONS = ("--max-failures", "--fail-fast", "--report")

"""What the exit codes mean.

    0      everything is done or skipped
    1      some files failed, the others are done; search found nothing
    2      the command is not valid; nothing was done
    3      the run could not go on
    130    interrupted; the same command finishes the rest

Hooks (--on-done) that fail do not change the exit code.

watch ends with 130 after SIGTERM or Ctrl-C, which a service may treat as success.
"""

OPTIONS = ("--max-failures", "--fail-fast", "--report")

"""What a failure costs, what is tried again, and what Ctrl-C does.

Failures cost only their file. What may pass (a disk or network that stumbles, memory) is tried
again; a file on which a decoder dies or hangs once more, alone; a folder that goes away is
waited for. A folder that cannot be read counts as a file that failed. At the end the exit code
is 1 when some file failed.

Ctrl-C or SIGTERM stops taking in, finishes and writes what the model works on, and exits with
130; a second one leaves at once. A terminal that closes ends nothing. What is done stays done
either way: see "whisperbatch help resume".
"""

OPTIONS = ("--retries", "--load-timeout", "--retry-failed", "--max-failures", "--fail-fast", "--verbose")

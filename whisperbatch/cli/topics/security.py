"""What a recording from a stranger can do, and what it can't.

Recordings are decoded in separate processes, with 1.5 GB of memory each and a time-out, and
pictures in them are not decoded. Only the file itself is opened: a playlist or a container that
points to other files or addresses is not followed, and pipes, sockets and devices are refused.
No shell is used, and no network except the model hub's (none with --offline). Names cannot lead
outputs out of their folder; a line of JSON may choose an "output" below the current folder, the
recording's or --output-dir, and nowhere else. Control characters in names are escaped when
printed. Settings beside a recording (whisperbatch.toml) are read up to 64 kB, may choose how it
is transcribed, and cannot name a file outside the folder that you named; --no-sidecars ignores
them. A regular expression in a file of rules is stopped after 2 seconds.

Hooks such as --on-done come only from the command line, the environment and your settings file,
and names are passed to them as separate arguments. The index of "whisperbatch search" contains
the text of transcripts, and only you may read it.

Code that comes with a model is never run. Only tensors are read from a pickle (.pt, .bin).
"""

OPTIONS = ("--offline", "--load-timeout", "--max-duration", "--sidecars")

"""What a recording from a stranger can do, and what it can't.

Recordings are decoded in processes of their own, with 1.5 GB of memory each and a time-out, and
pictures in them are not decoded. Only the file itself is opened: a playlist or a container that
points to other files or addresses is not followed, and pipes, sockets and devices are refused.
No shell is used, and no network but the model hub's (none with --offline). Names cannot lead
outputs out of their folder; a line of JSON may choose an "output" below the current folder, the
recording's or --output-dir, and no other. Control characters in names are spelled out when they
are printed. Settings beside a recording (whisperbatch.toml) are read up to 64 kB, may choose how
it is transcribed, and name no file outside the folder that you named; --no-sidecars leaves them
out. A regular expression in a file of rules is stopped after 2 seconds.

Commands of --on-done and its like come from the command line, the environment and your settings
file alone, and names are passed to them as arguments of their own. The index of "whisperbatch search"
holds the text of transcripts, and only you may read it.

Code that comes with a model is never run. Of a pickle (.pt, .bin) only the tensors are read.
"""

OPTIONS = ("--offline", "--load-timeout", "--max-duration", "--sidecars")

"""Settings from a TOML file and from the environment.

Each option has a setting of its name (beam-size = 1 or beam_size = 1) and a variable
(WHISPERBATCH_BEAM_SIZE=1). The command line wins, then the environment, then the file, which is
--config FILE.toml or what the variable WHISPERBATCH_CONFIG names. What a recording asks for by
itself ('whisperbatch help input') comes before all of them.

    model = "large-v3"
    format = ["srt", "json"]
    subtitles = "standard"
    settle = 5
    move-done = "/srv/recordings/done"

On and off are true and false; lists may be TOML's; relative paths count from the current folder.
One file serves all commands, each takes what it has. An unknown setting is an error, an unknown
variable a notice.
"""

OPTIONS = ("--config",)

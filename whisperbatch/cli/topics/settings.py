"""Settings from a TOML file and from the environment.

Each option has a setting of its name (beam-size = 1 or beam_size = 1) and a variable
(WHISPERBATCH_BEAM_SIZE=1). The command line wins, then the environment, then the file, which
--config FILE.toml or the variable WHISPERBATCH_CONFIG names. Settings for a single recording
('whisperbatch help input') override all of them.

    model = "large-v3"
    format = ["srt", "json"]
    subtitles = "standard"
    settle = 5
    move-done = "/srv/recordings/done"

Use true and false for on and off; lists may be TOML lists; relative paths start at the current
folder. One file serves all commands, and each takes the settings that it has. An unknown setting
is an error, an unknown variable gives a notice.
"""

OPTIONS = ("--config",)

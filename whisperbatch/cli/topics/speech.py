"""How speech is detected, how long recordings are cut, and which channels and tracks are used.

The model gets only what Silero VAD detects as speech; quiet parts are amplified for detection, so
that speech is found down to peaks of about -70 dBFS. A recording without speech gives an empty
transcript. --no-vad transcribes everything, cut at the quietest places. --clip-timestamps
0,60,90,120 transcribes those stretches only.

--long-form clips cuts a recording and decodes its clips side by side (see "whisperbatch help
batching"). --long-form sequential goes through a recording window after window, by
openai-whisper's rules; its samples are stored in --spool-dir meanwhile, 115 MB an hour. Neither
needs more memory for ten hours than for ten minutes.

--channels split transcribes each channel separately and merges them by time; --channel-names
agent,caller names them (further ones are CH3, CH4, and so on). If mixed channels would cancel
each other out, the louder one is used, with a warning.

Of several audio tracks the one marked as default is used, or else the first of those with the
most channels; if no speech is found in it, the next one. A warning says which. --track 2 takes the
second one, --track de the German one, and --track all transcribes each separately and merges them
by time.
"""

OPTIONS = (
    *("--vad", "--vad-threshold", "--vad-min-silence", "--vad-min-speech", "--vad-pad", "--clip-timestamps"),
    *("--long-form", "--spool-dir", "--max-duration", "--channels", "--channel-names", "--track"),
)

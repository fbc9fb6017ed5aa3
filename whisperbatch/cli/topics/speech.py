"""How speech is found, how long recordings are cut, and which channels and tracks are taken.

The model sees only what Silero VAD takes for speech; it is shown quiet parts louder than they are,
so that speech is found down to peaks of about -70 dBFS. A recording without speech gives an empty
transcript. --no-vad transcribes everything, cut where it is quietest. --clip-timestamps
0,60,90,120 transcribes those stretches only.

--long-form clips cuts a recording and runs its clips side by side (see "whisperbatch help
batching"). --long-form sequential goes through a recording window after window, by
openai-whisper's rules; its samples lie in --spool-dir meanwhile, 115 MB an hour. Neither needs
more memory for ten hours than for ten minutes.

--channels split transcribes each channel by itself and merges them by time; --channel-names
agent,caller names them (further ones are CH3, CH4, and so on). Channels that are mixed and cancel
each other out are not lost: the louder one is taken, with a warning.

Of several audio tracks the one marked as default is taken, else the first of those with the most
channels; where no speech is found in it, the next one. A warning says which. --track 2 takes the
second one, --track de the German one, and --track all transcribes each by itself and merges them
by time.
"""

OPTIONS = (
    *("--vad", "--vad-threshold", "--vad-min-silence", "--vad-min-speech", "--vad-pad", "--clip-timestamps"),
    *("--long-form", "--spool-dir", "--max-duration", "--channels", "--channel-names", "--track"),
)

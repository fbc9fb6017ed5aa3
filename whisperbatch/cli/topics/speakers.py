"""Who speaks: finding and naming speakers, and the limits of that.

    whisperbatch fetch speakers
    whisperbatch transcribe interviews/ --speakers auto --format txt,json,rttm
    whisperbatch transcribe calls/ --channels split --speakers auto
    whisperbatch transcribe panel.wav --speakers 3-5 --speaker-names voices/

Each word gets a speaker: SPEAKER_00 is the first to speak. Segments are cut where the speaker
changes, and every format shows the label; rttm lists who speaks from when to when, including
overlaps. The JSON has "speakers" (seconds, confidence), "turns" and "overlaps" in its
"whisperbatch" block. Word times are turned on. In a run with --speakers, a line of a JSON list may
set "speakers": 2 for its recording, and a sidecar speakers = 2 ("whisperbatch help input").

--speaker-names voices/ reads voices/Ann.wav, or all recordings in voices/Ann/, and names a voice
that is close enough Ann; others keep their numbers. Ten seconds of clear speech for each name are
enough.

With --channels split each channel is searched separately. A channel with one speaker has the
channel's name (LEFT), one with several has numbers after it (LEFT SPEAKER_00).

Speakers can be added later: the same command with --speakers reads the recording again but does
not transcribe it again if its JSON exists. A transcript without word times then gets one speaker
a segment. If speakers cannot be found the transcript is written without them, with a warning, and
--retry-failed tries again. A run without --speakers keeps existing labels. Rename and merge
speakers on the review page ("whisperbatch help review").

Limits: meetings recorded from far away, with four people in half a minute, give wrong speakers
here as elsewhere. Very similar voices may become one speaker; somebody who speaks for less than
about three seconds in all may get no label of their own. Words in an overlap go to one speaker.
Finding speakers takes about a tenth of the recording's length on one CPU core; without speech
detection (--no-vad) noise and music count as speech.
"""

OPTIONS = ("--speakers", "--speaker-names", "--speaker-model", "--channels", "--retry-failed")

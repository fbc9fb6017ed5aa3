#!/usr/bin/env bash
# pysubs2 reads WebVTT by the rules of SubRip: numbers that end a cue vanish, identifiers and notes become speech
#
# Expected: pysubs2's documentation lists WebVTT among the formats that it reads. In WebVTT a blank line ends a cue,
#   a cue needs no number, an identifier may be any text, and a NOTE block is never shown (W3C, WebVTT, section 4).
# What happens: whatever stands between two lines of times is the text of the first, and a number at its end is taken
#   for the number of the next cue. So a cue that ends in a line "1984" loses that line if the next cue has neither
#   identifier nor note; otherwise the identifier or the note is added to its text. In SubRip files only the last cue
#   of the file can lose its number. No message is given. webvtt-py, run on the same file, reads it as the W3C says.
# Versions: pysubs2 1.8.1; 1.7.3 does the same. Its source says that WebVTT shares the code of SubRip for now.
# For batch transcription: Whisper's WebVTT has no numbers, and wrapped lines often leave a year, a price or a count
#   alone on the last line. Converting such files, or shifting their times, with pysubs2 takes those numbers away for
#   good. Convert from JSON or SubRip, or read WebVTT with webvtt-py.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check pysubs2==1.8.1 webvtt-py==0.6.0 || exit 2

cat >talk.vtt <<'VTT'
WEBVTT

00:01.000 --> 00:03.000
She was born in
1984

00:04.000 --> 00:06.000
and the price was
250

chapter two
00:07.000 --> 00:09.000
We begin with the harbour

NOTE checked by a reader

00:10.000 --> 00:12.000
and the boats
VTT

cat >talk.srt <<'SRT'
1
00:00:01,000 --> 00:00:03,000
She was born in
1984

2
00:00:04,000 --> 00:00:06,000
and the price was
250
SRT

venv/bin/python - <<'PYTHON'
import sys
from importlib.metadata import version

import pysubs2
import webvtt

print("pysubs2", version("pysubs2"), "webvtt-py", version("webvtt-py"))
read = [event.text for event in pysubs2.load("talk.vtt")]
right = [caption.text.replace("\n", r"\N") for caption in webvtt.read("talk.vtt")]
for number, (by_pysubs2, by_webvtt) in enumerate(zip(read, right, strict=True), 1):
    print(f"    cue {number}: {by_pysubs2!r}")
    print(f"    should be {by_webvtt!r}")
srt = [event.text for event in pysubs2.load("talk.srt")]
print(f"    SubRip, the first and the last cue: {srt}")

as_described = (
    read[0] == "She was born in"
    and read[1].endswith("chapter two")
    and read[2].endswith("NOTE checked by a reader")
    and right == [r"She was born in\N1984", r"and the price was\N250", "We begin with the harbour", "and the boats"]
    and srt == [r"She was born in\N1984", "and the price was"]
)
print("as described" if as_described else "CHANGED: the cues are read otherwise now")
sys.exit(0 if as_described else 1)
PYTHON

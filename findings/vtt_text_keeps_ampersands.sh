#!/usr/bin/env bash
# webvtt-py's plain text of a cue still says "&amp;" where a viewer reads "&"
#
# Expected: in WebVTT "&" and "<" are written as "&amp;" and "&lt;" (W3C, WebVTT, cue text), and webvtt-py offers both
#   raw_text, as it stands in the file, and text, without markup. So text should be what a viewer reads, and a SubRip
#   file, a format without such references, should hold "&".
# What happens: tags are taken out of text, references are left in. "R&amp;D" stays so in text and in SubRip saved by
#   the package, where it is plain text. The other way round nothing is escaped: text with a "<" and
#   a later ">" loses what stands between. pycaption reads the same file as a browser shows it.
# Versions: webvtt-py 0.6.0 (0.5.1 likewise) and pycaption 2.3.14.
# For batch transcription: subtitles from other sources serve as references for a word error rate, for alignment or for
#   search, and each "R&amp;D" is then a wrong word, or "R", "amp" and "D" once punctuation is removed. Call
#   html.unescape on text after reading, and html.escape on it before writing WebVTT.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check webvtt-py==0.6.0 pycaption==2.3.14 || exit 2

cat >talk.vtt <<'VTT'
WEBVTT

00:01.000 --> 00:03.000
<v Ann>Our R&amp;D says x &lt; 5 &amp; y &gt; 2
VTT

venv/bin/python - <<'PYTHON'
import html
import sys
from importlib.metadata import version
from pathlib import Path

import webvtt
from pycaption import WebVTTReader

SEEN_BY_VIEWERS = "Our R&D says x < 5 & y > 2"

captions = webvtt.read("talk.vtt")
text = captions[0].text
captions.save_as_srt("talk.srt")
in_srt = Path("talk.srt").read_text().splitlines()[2]
by_pycaption = WebVTTReader().read(Path("talk.vtt").read_text()).get_captions("en-US")[0].get_text()
written = webvtt.Caption("00:00:01.000", "00:00:03.000", "say if a <b and c> d").text

print("webvtt-py", version("webvtt-py"), "pycaption", version("pycaption"))
print("    viewers read   ", SEEN_BY_VIEWERS)
print("    webvtt-py text ", text)
print("    webvtt-py's srt", in_srt)
print("    pycaption text ", by_pycaption)
print("    text of a new caption 'say if a <b and c> d':", written)

as_described = (
    text != SEEN_BY_VIEWERS == html.unescape(text)
    and "&amp;" in in_srt
    and SEEN_BY_VIEWERS in by_pycaption
    and "b and c" not in written
)
print("as described" if as_described else "CHANGED: the text of a cue is another one now")
sys.exit(0 if as_described else 1)
PYTHON

#!/usr/bin/env bash
# jiwer takes "\n" between two words for a letter, and "\r\n" for a space
#
# Expected: jiwer's documentation calls its default transformation one that strips each text, removes multiple spaces
#   and splits it into words, so how a text is wrapped should not matter to the word error rate.
# What happens: multiple white space of any kind becomes one space, but a single line break, tab or no-break space is
#   left alone, and words are split at the plain space only. "house\nand" is one word, and against "house and" it costs
#   a substitution and a deletion. The same text with Windows line ends scores 0, since "\r\n" is two characters.
# Versions: jiwer 4.0.0; 3.0.5 does the same.
# For batch transcription: Whisper tools write one segment a line. Such a file, read whole and compared with a reference
#   on one line, looks far worse than it is, by two errors a line: 33 points of WER for the short lines below. Pass
#   " ".join(text.split()) instead of the text.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check jiwer==4.0.0 || exit 2

venv/bin/python - <<'PYTHON'
import sys
from importlib.metadata import version

import jiwer

LINES = ("so we left the house", "and walked to the station", "where the train was waiting", "for us all")
REFERENCE = " ".join(LINES)

print("jiwer", version("jiwer"), "comparing a text with itself:")
rates = {}
for name, joint in (("space", " "), ("\\n", "\n"), ("\\r\\n", "\r\n"), ("space and \\n", " \n"), ("tab", "\t")):
    output = jiwer.process_words(REFERENCE, joint.join(LINES))
    rates[name] = output.wer
    errors = f"{output.substitutions} substituted, {output.deletions} deleted, {output.insertions} inserted"
    print(f"    lines joined by {name:12} WER {output.wer:4.0%} ({errors})")
cured = jiwer.wer(REFERENCE, " ".join("\n".join(LINES).split()))
print(f"    \\n, after split and join     WER {cured:4.0%}")

as_described = rates["space"] == rates["\\r\\n"] == rates["space and \\n"] == cured == 0 and rates["\\n"] > 0.3
print("as described" if as_described else "CHANGED: a line break no longer counts as described")
sys.exit(0 if as_described else 1)
PYTHON

#!/usr/bin/env bash
# num2words says another number than it is given: signs and zeros get lost, in some languages the value changes
#
# Expected: the package's README lists all of these languages as supported, its changelog tells of mended negatives and
#   decimals, and most languages do say the sign and each digit after the point.
# What happens, with no error or warning:
#   - English, German and others drop the sign of numbers between -1 and 0: -0.4 gives "zero point four".
#   - Turkish and Vietnamese drop zeros after the point: the words for 1.05 are those that people say for 1.5.
#   - Vietnamese says "fifteen" for -5 and "nineteen" for -1, as it looks up a list from its end.
# Versions: num2words 0.5.14. The Vietnamese negatives were reported in October 2020 (pull request 335), the missing
#   minus in June 2021 (issue 402), the Turkish zeros in November 2022 (issue 487); all were still open in 2026.
# For batch transcription: references are spelled out with this package before a word error rate is taken, so a model
#   that heard "minus five" or "one point zero five" rightly is marked wrong, and a wrong one right. Look for minus
#   signs and decimals in the references, and spell those by hand.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check num2words==0.5.14 || exit 2

venv/bin/python - <<'PYTHON'
import sys
from importlib.metadata import version

from num2words import num2words

CASES = (
    ("en", -0.4, "zero point four", "minus zero point four"),
    ("de", -0.4, "null Komma vier", "minus null Komma vier"),
    ("tr", 1.05, "birvirgülbeş", "bir virgül sıfır beş"),
    ("vi", 1.05, "một phẩy năm", "một phẩy không năm"),
    ("vi", -5, "mười lăm", "âm năm"),
    ("vi", 15, "mười lăm", "mười lăm"),
)

print("num2words", version("num2words"))
as_described = True
for language, number, seen, people_say in CASES:
    words = num2words(number, lang=language)
    print(f"    {language} {number}: {words} (people say: {people_say})")
    as_described &= words == seen
print(f"    en -1.4: {num2words(-1.4)}; en 1.05: {num2words(1.05)} (both right)")
as_described &= num2words(-1.4) == "minus one point four"
print("as described" if as_described else "CHANGED: the words differ from those described")
sys.exit(0 if as_described else 1)
PYTHON

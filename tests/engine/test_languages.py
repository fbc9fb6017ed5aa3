"""Which language a file, a clip, and a piece of a clip are in. No torch."""

import unicodedata

import pytest

from whisperbatch.engine.scheduling import language_changes
from whisperbatch.engine.scheduling.language_changes import Run
from whisperbatch.engine.scheduling.language_vote import Decision, LanguageVotes
from whisperbatch.languages import LANGUAGES, SCRIPTS, foreign_share

EN, DE, UNSURE = (
    {"en": 0.9, "de": 0.05, "nl": 0.05},
    {"en": 0.05, "de": 0.9, "nl": 0.05},
    {"en": 0.3, "de": 0.4, "nl": 0.3},
)
SPANS = [(0.0, 4.0), (5.0, 9.0), (10.0, 14.0), (15.0, 19.0)]


@pytest.mark.parametrize(
    ("speech", "expected"),
    [
        ([], []),
        ([(1.0, 2.0)], [(1.0, 2.0)]),
        ([(0.0, 2.0), (2.5, 4.5), (5.0, 9.0)], [(0.0, 4.5), (5.0, 9.0)]),
        ([(0.0, 4.0), (5.0, 6.0)], [(0.0, 6.0)]),
    ],
)
def test_pieces_hold_seconds_of_speech_and_leave_none_out(speech, expected):
    assert language_changes.pieces(speech) == expected


@pytest.mark.parametrize(
    ("chances", "expected"),
    [
        ([EN] * 4, [Run(0.0, 20.0, "en", 0.9)]),
        ([EN, EN, DE, DE], [Run(0.0, 9.5, "en", 0.9), Run(9.5, 20.0, "de", 0.9)]),
        ([EN, UNSURE, DE, UNSURE], [Run(0.0, 9.5, "en", 0.9), Run(9.5, 20.0, "de", 0.9)]),
        ([UNSURE, DE, DE, EN], [Run(0.0, 14.5, "de", 0.4), Run(14.5, 20.0, "en", 0.9)]),
        ([UNSURE] * 4, [Run(0.0, 20.0, "de", 0.4)]),
    ],
)
def test_a_piece_that_is_not_sure_has_the_language_of_its_neighbour(chances, expected):
    assert language_changes.runs(SPANS, chances, ("en", "de"), 20.0) == expected


def test_a_language_that_no_voter_of_the_file_is_sure_of_is_not_taken():
    dutch = {"en": 0.02, "de": 0.18, "nl": 0.8}
    assert language_changes.runs(SPANS, [dutch] * 4, ("en", "de"), 20.0) == [Run(0.0, 20.0, "de", 0.18)]


@pytest.mark.parametrize(
    ("votes", "expected"),
    [
        ([(20.0, EN), (20.0, EN)], Decision("en", pytest.approx(0.9))),
        ([(20.0, EN), (10.0, DE)], Decision("en", pytest.approx(0.6166667), ("de",))),
        ([(20.0, EN), (2.9, DE)], Decision("en", pytest.approx(0.7923581))),
        ([(20.0, EN), (10.0, UNSURE)], Decision("en", pytest.approx(0.7))),
    ],
)
def test_voters_that_are_sure_of_another_language_make_a_file_one_of_several(votes, expected):
    ballot = LanguageVotes()
    ballot.expect(0, len(votes))
    for number, vote in enumerate(votes):
        ballot.cast(0, number, [vote])
    assert ballot.decision(0) == expected


@pytest.mark.parametrize(
    ("text", "language", "share"),
    [
        ("\u0939\u093f\u0928\u094d\u0926\u0940", "hi", 0.0),
        ("\u0627\u0631\u062f\u0648", "hi", 1.0),
        ("\u0627\u0631\u062f\u0648", "ur", 0.0),
        ("WLAN und 5 G", "de", 0.0),
        ("OK, iPhone", "ja", 0.0),
        ("\u306f\u3044\u30ab\u30fc\u30c9\u65e5\u672c", "ja", 0.0),
        ("\u0434\u0430 yes", "de", 0.4),
        ("123, ...", "ru", 0.0),
    ],
)
def test_letters_of_another_script_are_foreign_and_latin_ones_never(text: str, language: str, share: float):
    assert foreign_share(text, language) == pytest.approx(share)


def test_every_language_with_a_script_of_its_own_is_one_that_whisper_knows():
    assert set(SCRIPTS) <= set(LANGUAGES)
    assert {name for names in SCRIPTS.values() for name in names} <= {
        unicodedata.name(chr(code), "").partition(" ")[0] for code in range(0x3000)
    } | {"HANGUL", "CJK", "KATAKANA", "HIRAGANA", "KATAKANA-HIRAGANA"}

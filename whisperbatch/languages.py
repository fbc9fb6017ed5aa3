"""Whisper's languages, by code and by English name (openai-whisper's table), and the scripts that they use."""

import difflib
import unicodedata

from whisperbatch.errors import UsageError


def _table(text: str) -> dict[str, str]:
    return dict(" ".join(part.split()).split(" ", 1) for part in text.split("|"))


LANGUAGES = _table("""
    en english | zh chinese | de german | es spanish | ru russian | ko korean | fr french | ja japanese | pt
    portuguese | tr turkish | pl polish | ca catalan | nl dutch | ar arabic | sv swedish | it italian | id
    indonesian | hi hindi | fi finnish | vi vietnamese | he hebrew | uk ukrainian | el greek | ms malay | cs
    czech | ro romanian | da danish | hu hungarian | ta tamil | no norwegian | th thai | ur urdu | hr croatian |
    bg bulgarian | lt lithuanian | la latin | mi maori | ml malayalam | cy welsh | sk slovak | te telugu | fa
    persian | lv latvian | bn bengali | sr serbian | az azerbaijani | sl slovenian | kn kannada | et estonian |
    mk macedonian | br breton | eu basque | is icelandic | hy armenian | ne nepali | mn mongolian | bs bosnian |
    kk kazakh | sq albanian | sw swahili | gl galician | mr marathi | pa punjabi | si sinhala | km khmer | sn
    shona | yo yoruba | so somali | af afrikaans | oc occitan | ka georgian | be belarusian | tg tajik | sd
    sindhi | gu gujarati | am amharic | yi yiddish | lo lao | uz uzbek | fo faroese | ht haitian creole | ps
    pashto | tk turkmen | nn nynorsk | mt maltese | sa sanskrit | lb luxembourgish | my myanmar | bo tibetan |
    tl tagalog | mg malagasy | as assamese | tt tatar | haw hawaiian | ln lingala | ha hausa | ba bashkir | jw
    javanese | su sundanese | yue cantonese
    """)  # English names by code, in the order of Whisper's tokens
_OTHER_NAMES = {
    "burmese": "my",
    "valencian": "ca",
    "flemish": "nl",
    "haitian": "ht",
    "letzeburgesch": "lb",
    "pushto": "ps",
    "panjabi": "pa",
    "moldavian": "ro",
    "moldovan": "ro",
    "sinhalese": "si",
    "castilian": "es",
    "mandarin": "zh",
}
_TAGS = {
    tag: tags.split()[0]
    for tags in """
    en eng|zh zho chi cmn|de deu ger|es spa|ru rus|ko kor|fr fra fre|ja jpn|pt por|tr tur|pl pol|ca cat|nl nld dut|ar
    ara|sv swe|it ita|id ind|hi hin|fi fin|vi vie|he heb iw|uk ukr|el ell gre|ms msa may|cs ces cze|ro ron rum|da dan|hu
    hun|ta tam|no nor nb nob|th tha|ur urd|hr hrv|bg bul|lt lit|la lat|mi mri mao|ml mal|cy cym wel|sk slk slo|te tel|fa
    fas per|lv lav|bn ben|sr srp|az aze|sl slv|kn kan|et est|mk mkd mac|br bre|eu eus baq|is isl ice|hy hye arm|ne
    nep|mn mon|bs bos|kk kaz|sq sqi alb|sw swa|gl glg|mr mar|pa pan|si sin|km khm|sn sna|yo yor|so som|af afr|oc oci|ka
    kat geo|be bel|tg tgk|sd snd|gu guj|am amh|yi yid|lo lao|uz uzb|fo fao|ht hat|ps pus|tk tuk|nn nno|mt mlt|sa san|lb
    ltz|my mya bur|bo bod tib|tl tgl fil|mg mlg|as asm|tt tat|ln lin|ha hau|ba bak|jw jv jav|su sun
    """.replace("\n", " ").split("|")
    for tag in tags.split()
}  # Whisper's code for each ISO 639 code that recordings are tagged with
_NO_LANGUAGE = ("und", "mis", "mul", "zxx", "qaa")


def tagged_language(tag: str) -> str:
    """Return the language of a tag such as ``ger``, ``deu`` or ``de-AT``, as Whisper's code where there is one.

    Empty when the tag does not name a language.
    """
    code = tag.strip().casefold().replace("_", "-").partition("-")[0]
    return "" if code in _NO_LANGUAGE else _TAGS.get(code, code)


def parse_language(text: str) -> str:
    """Return the code for a code or an English name in any case; UsageError with near matches when it is unknown."""
    given = text.strip().casefold()
    if given in LANGUAGES:
        return given
    codes = {name: code for code, name in LANGUAGES.items()} | _OTHER_NAMES
    if given in codes:
        return codes[given]
    near = difflib.get_close_matches(given, codes, n=3)
    hint = f"; did you mean {' or '.join(near)}?" if near else "; give a code such as en or de, or an English name"
    raise UsageError(f"unknown language '{text}'{hint}")


def _scripts(text: str) -> dict[str, frozenset[str]]:
    found: dict[str, frozenset[str]] = {}
    for line in text.split("|"):
        names, _, codes = line.partition(":")
        found |= {code: frozenset(names.split()) for code in codes.split()}
    return found


# Unicode's names of scripts; languages that are not listed here are written in LATIN
SCRIPTS = _scripts("""
    CYRILLIC: ru uk bg mk be mn tg tt ba | CYRILLIC LATIN: sr bs az uz kk tk | ARABIC: ar fa ur sd ps | HEBREW: he yi |
    GREEK: el | DEVANAGARI: hi mr ne sa | BENGALI: bn as | GURMUKHI ARABIC: pa | GUJARATI: gu | TAMIL: ta | TELUGU: te |
    KANNADA: kn | MALAYALAM: ml | SINHALA: si | THAI: th | LAO: lo | KHMER: km | MYANMAR: my | TIBETAN: bo |
    GEORGIAN: ka | ARMENIAN: hy | ETHIOPIC: am | HANGUL CJK: ko | HIRAGANA KATAKANA KATAKANA-HIRAGANA CJK: ja |
    CJK: zh yue | LATIN ARABIC: ha ms jw su
    """)


def foreign_share(text: str, language: str) -> float:
    """Return the share, 0 to 1, of letters in scripts that the language does not use; Latin is never foreign."""
    known = SCRIPTS.get(language, frozenset()) | {"LATIN", "FULLWIDTH"}
    scripts = [unicodedata.name(letter, "").partition(" ")[0] for letter in text if letter.isalpha()]
    return sum(script not in known for script in scripts) / len(scripts) if scripts else 0.0

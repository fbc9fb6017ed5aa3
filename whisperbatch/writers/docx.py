"""Word documents (Office Open XML, ECMA-376): one paragraph per turn, uncertain words shaded.

The same transcript gives the same bytes on every machine: dates are fixed, and nothing is compressed, since zlib's
output differs between versions. ``template`` has everything that does not depend on the transcript; the review page
also makes documents from it.
"""

import io
import re
import zipfile
from collections.abc import Iterator, Sequence
from itertools import groupby
from xml.sax.saxutils import escape

from whisperbatch.options import DocumentOptions
from whisperbatch.records import UNCERTAIN_WORD, Transcript, Word
from whisperbatch.writers.paragraphs import DEFAULT, Paragraph, byline, paragraphs, stamp

LEGEND = f"shaded words: probability below {UNCERTAIN_WORD}"
_RIGHT_TO_LEFT = frozenset("ar fa he ps sd ur yi".split())
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest date that a zip archive can store
_XML = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
_WORDS = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_TYPE = "application/vnd.openxmlformats-officedocument.wordprocessingml"
_CODE = re.compile("[a-z]{2,3}")
_BLANK = re.compile(r"\{\{([A-Z]+)\}\}")
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # https://www.w3.org/TR/xml/#charsets
_SECTION = (
    '<w:sectPr><w:pgSz w:w="11906" w:h="16838"/>'
    '<w:pgMar w:top="1134" w:right="1134" w:bottom="1134" w:left="1134" w:header="709" w:footer="709" w:gutter="0"/>'
    "</w:sectPr>"
)
_DEFAULTS = (
    '<w:docDefaults><w:rPrDefault><w:rPr><w:rFonts w:ascii="Calibri" w:hAnsi="Calibri" w:cs="Calibri"/>'
    '<w:sz w:val="22"/><w:szCs w:val="22"/>{{TONGUE}}</w:rPr></w:rPrDefault><w:pPrDefault><w:pPr>'
    '<w:spacing w:after="140" w:line="276" w:lineRule="auto"/></w:pPr></w:pPrDefault></w:docDefaults>'
    '<w:style w:type="paragraph" w:default="1" w:styleId="Normal"><w:name w:val="Normal"/><w:qFormat/>'
    "<w:pPr>{{PARAGRAPH}}</w:pPr><w:rPr>{{RUN}}</w:rPr></w:style>"
    '<w:style w:type="character" w:default="1" w:styleId="DefaultParagraphFont">'
    '<w:name w:val="Default Paragraph Font"/></w:style>'
)


def render(transcript: Transcript, documents: DocumentOptions = DEFAULT, title: str = "") -> bytes:
    """Write a document with the title, a line with language and length, and the paragraphs."""
    all_paragraphs = paragraphs(transcript, documents.paragraph_pause_s)
    shades = any(word.probability < UNCERTAIN_WORD for one in all_paragraphs for word in one.words)
    about = ". ".join(part for part in (byline(transcript), LEGEND.capitalize() if shades else "") if part)
    body = [_styled("Title", [_run(title)])] if title.strip() else []
    body += [_styled("Subtitle", [_run(about)])] if about else []
    body += [_turn(one, documents.has_stamps("docx")) for one in all_paragraphs]
    code, turned = transcript.language, transcript.language in _RIGHT_TO_LEFT
    values = {
        "BODY": "".join(body),
        "TITLE": _clean(title),
        "LANGUAGE": _clean(code),
        "TONGUE": f'<w:lang w:val="{code}" w:eastAsia="{code}" w:bidi="{code}"/>' if _CODE.fullmatch(code) else "",
        "PARAGRAPH": "<w:bidi/>" if turned else "",
        "RUN": "<w:rtl/>" if turned else "",
    }
    return _zipped({name: _BLANK.sub(lambda match: values[match[1]], text) for name, text in template().items()})


def template() -> dict[str, str]:
    """Return the document's files in order, by their path in the archive, with ``{{NAME}}`` as placeholders.

    BODY is the text, TONGUE its language in Word's markup; PARAGRAPH and RUN switch to right-to-left script.
    """
    core = f"{_PACKAGE}/metadata/core-properties"
    return {
        "[Content_Types].xml": _XML + _types(),
        "_rels/.rels": _XML
        + _relations(
            (f"{_OFFICE}/officeDocument", "word/document.xml"),
            (f"{_PACKAGE}/relationships/metadata/core-properties", "docProps/core.xml"),
        ),
        "docProps/core.xml": f'{_XML}<cp:coreProperties xmlns:cp="{core}" xmlns:dc="http://purl.org/dc/elements/1.1/">'
        "<dc:title>{{TITLE}}</dc:title><dc:language>{{LANGUAGE}}</dc:language></cp:coreProperties>",
        "word/_rels/document.xml.rels": _XML + _relations((f"{_OFFICE}/styles", "styles.xml")),
        "word/styles.xml": f"{_XML}<w:styles {_WORDS}>{_DEFAULTS}{_styles()}</w:styles>",
        "word/document.xml": f"{_XML}<w:document {_WORDS}><w:body>{{{{BODY}}}}{_SECTION}</w:body></w:document>",
    }


def _types() -> str:
    overrides = (
        ("/word/document.xml", f"{_TYPE}.document.main+xml"),
        ("/word/styles.xml", f"{_TYPE}.styles+xml"),
        ("/docProps/core.xml", "application/vnd.openxmlformats-package.core-properties+xml"),
    )
    return (
        f'<Types xmlns="{_PACKAGE}/content-types">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        + "".join(f'<Override PartName="{name}" ContentType="{kind}"/>' for name, kind in overrides)
        + "</Types>"
    )


def _relations(*targets: tuple[str, str]) -> str:
    rows = "".join(
        f'<Relationship Id="rId{number}" Type="{kind}" Target="{target}"/>'
        for number, (kind, target) in enumerate(targets, start=1)
    )
    return f'<Relationships xmlns="{_PACKAGE}/relationships">{rows}</Relationships>'


def _styles() -> str:
    gray = '<w:color w:val="666666"/>'
    return "".join(
        (
            _style("paragraph", "Title", '<w:pPr><w:spacing w:after="60"/></w:pPr>', '<w:b/><w:bCs/><w:sz w:val="36"/>'
                   '<w:szCs w:val="36"/>'),
            _style("paragraph", "Subtitle", '<w:pPr><w:spacing w:after="360"/></w:pPr>', gray),
            _style("paragraph", "Turn", "", ""),
            _style("paragraph", "Timed Turn", '<w:pPr><w:tabs><w:tab w:val="left" w:pos="1247"/></w:tabs>'
                   '<w:ind w:left="1247" w:hanging="1247"/></w:pPr>', ""),
            _style("character", "Speaker", "", "<w:b/><w:bCs/>"),
            _style("character", "Timestamp", "", f'{gray}<w:sz w:val="18"/><w:szCs w:val="18"/>'),
            _style("character", "Uncertain", "", '<w:shd w:val="clear" w:color="auto" w:fill="FFE699"/>'),
        )
    )  # fmt: skip


def _style(kind: str, name: str, paragraph: str, run: str) -> str:
    based = '<w:basedOn w:val="Normal"/>' if kind == "paragraph" else ""
    custom = "" if name in ("Title", "Subtitle") else ' w:customStyle="1"'
    head = f'<w:style w:type="{kind}"{custom} w:styleId="{name.replace(" ", "")}"><w:name w:val="{name}"/>'
    return f"{head}{based}<w:qFormat/>{paragraph}<w:rPr>{run}</w:rPr></w:style>"


def _turn(paragraph: Paragraph, has_stamp: bool) -> str:
    runs = [_run(stamp(paragraph.start_s), "Timestamp"), "<w:r><w:tab/></w:r>"] if has_stamp else []
    runs += [_run(f"{paragraph.label}:", "Speaker"), _run(" ")] if paragraph.label else []
    runs += [_run(text, "Uncertain" if unsure else "") for text, unsure in _spans(paragraph.words)]
    return _styled("TimedTurn" if has_stamp else "Turn", runs)


def _spans(words: Sequence[Word]) -> Iterator[tuple[str, bool]]:
    """Yield runs of text and whether they are uncertain; spaces before an uncertain word count as certain."""
    pieces = []
    for word in words:
        bare = word.word.lstrip()
        pieces.append((word.word[: len(word.word) - len(bare)], False))
        pieces.append((bare, word.probability < UNCERTAIN_WORD))
    for unsure, group in groupby((piece for piece in pieces if piece[0]), key=lambda piece: piece[1]):
        yield "".join(text for text, _ in group), unsure


def _styled(style: str, runs: Sequence[str]) -> str:
    return f'<w:p><w:pPr><w:pStyle w:val="{style}"/></w:pPr>{"".join(runs)}</w:p>'


def _run(text: str, style: str = "") -> str:
    traits = f'<w:rPr><w:rStyle w:val="{style}"/></w:rPr>' if style else ""
    return f'<w:r>{traits}<w:t xml:space="preserve">{_clean(text)}</w:t></w:r>'


def _clean(text: str) -> str:
    """Escape text for XML; characters that XML does not allow become U+FFFD."""
    return escape(_NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text), {'"': "&quot;"})


def _zipped(files: dict[str, str]) -> bytes:
    """Return a zip archive of the files in this order, uncompressed and with a fixed date."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, text in files.items():
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.create_system, entry.external_attr = 0, 0  # the same on every system
            archive.writestr(entry, text.encode())
    return buffer.getvalue()

"""The start page, which ``whisperbatch`` alone prints: what to type first."""

from collections.abc import Sequence

from whisperbatch import __version__
from whisperbatch.cli import text_layout

_PAGE = """\
whisperbatch {version}: transcribes folders, lists and drop folders of recordings.

{first}
Then:

  whisperbatch transcribe FOLDER --format srt   other formats; all means five
  whisperbatch watch FOLDER                     transcribe new files on arrival
  whisperbatch status                           what is done, what failed, why
  whisperbatch info                             this machine, and what is wrong
  whisperbatch help                             topics: formats, subtitles, ...
  whisperbatch --help                           all commands
"""
_NO_MODEL = """\
Try it without a download: the bundled demo model knows a few hundred words:

  whisperbatch transcribe FOLDER --model demo

For your own recordings, fetch a model once:

  whisperbatch fetch turbo                      1.6 GB; small suits a CPU better
  whisperbatch transcribe FOLDER                transcripts beside the audio
"""
_MODEL = """\
Transcribe a file or a folder (models on this machine: {cached}):

  whisperbatch transcribe FOLDER{model:<14}  transcripts beside the audio
"""
DEFAULT = "turbo"


def page(cached: Sequence[str]) -> str:
    """Return the page for the given cached models: at most 22 lines of 80 columns, more in a narrower terminal."""
    if not cached:
        first = _NO_MODEL
    else:
        model = "" if DEFAULT in cached else f" --model {cached[0]}"
        first = _MODEL.format(model=model, cached=", ".join(cached[:5]))
    blocks = _PAGE.format(version=__version__, first=first).rstrip("\n").split("\n\n")
    return (
        "\n\n".join(text_layout.fitted(one) if one.startswith(" ") else text_layout.filled(one) for one in blocks)
        + "\n"
    )

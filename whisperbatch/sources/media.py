"""Which names are recordings, and the record of a found one. Who calls: the other sources and the CLI's help."""

from pathlib import Path

from whisperbatch.records import AudioFile

AUDIO_SUFFIXES = frozenset(
    """
    .3ga .aac .ac3 .aif .aifc .aiff .alac .amr .ape .au .awb .caf .dss .dts .eac3 .flac .gsm .m4a .m4b .m4r .mka
    .mp2 .mp3 .mpc .mpga .oga .ogg .opus .ra .spx .tta .voc .w64 .wav .wave .weba .wma .wv
    """.split()
)
VIDEO_SUFFIXES = frozenset(
    """
    .3g2 .3gp .asf .avi .dv .f4v .flv .m2ts .m2v .m4v .mkv .mov .mp4 .mpeg .mpg .mts .mxf .ogv .rm .rmvb .ts .vob
    .webm .wmv
    """.split()
)
MEDIA_SUFFIXES = AUDIO_SUFFIXES | VIDEO_SUFFIXES


def is_media(name: str) -> bool:
    """Whether a file of that name in a folder counts: a known extension, not hidden, not a copy that is under way."""
    return not name.startswith((".", "~")) and Path(name).suffix.lower() in MEDIA_SUFFIXES


def found(path: Path, root: Path | None = None) -> AudioFile:
    """The record of a file; one that cannot be looked at has size 0, and the loader will say what is wrong with it."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return AudioFile(path, root)
    return AudioFile(path, root, status.st_size, status.st_mtime_ns)

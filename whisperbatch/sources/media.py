"""Tell by file name what is a recording or a transcript, and make the AudioFile of a found file."""

from pathlib import Path

from whisperbatch.options import READABLE
from whisperbatch.records import AudioFile

AUDIO_SUFFIXES = frozenset(
    """
    .3ga .aa3 .aac .ac3 .act .aea .aif .aifc .aiff .al .alac .alaw .amr .ape .aptx .aptxhd .au .avr .awb .bwf .caf
    .dff .ds2 .dsf .dss .dts .dtshd .eac3 .ec3 .flac .g722 .g723_1 .g726 .g729 .gsm .ircam .isma .m2a .m4a .m4b
    .m4r .mac .mka .mlp .mp1 .mp2 .mp3 .mpa .mpc .mpga .msbc .mulaw .oga .ogg .oma .omg .opus .paf .pvf .qcp .ra .rf64
    .rka .sbc .shn .sln .sln16 .snd .sph .spx .tak .thd .tta .ul .ulaw .voc .vqf .w64 .wav .wave .weba .wma .wsd .wv
    """.split()
)
VIDEO_SUFFIXES = frozenset(
    """
    .3g2 .3gp .3gp2 .3gpp .3gpp2 .amv .asf .avi .dav .divx .dv .dvr-ms .evo .f4v .flv .gxf .ismv .ivr .kux .m1v .m2p
    .m2t .m2ts .m2v .m4v .mk3d .mkv .mov .mp4 .mpe .mpeg .mpg .mts .mxf .nsv .nut .nuv .ogm .ogv .ogx .qt .rm .rmvb
    .tod .tp .trp .ts .viv .vob .vro .webm .wm .wmv .wtv .xvid
    """.split()
)
MEDIA_SUFFIXES = AUDIO_SUFFIXES | VIDEO_SUFFIXES
SYSTEM_FOLDERS = frozenset(("lost+found", "System Volume Information", "$RECYCLE.BIN"))


def is_user_folder(folder: str) -> bool:
    """True if a folder of that name is searched: not hidden, and not a file system's own, which few may read."""
    return not folder.startswith(".") and folder not in SYSTEM_FOLDERS


def is_media(name: str) -> bool:
    """True if a file of that name in a folder is a recording: a known extension, not hidden, not an unfinished copy."""
    return not name.startswith((".", "~")) and Path(name).suffix.lower() in MEDIA_SUFFIXES


def is_transcript(name: str) -> bool:
    """True if a file of that name in a folder may be a transcript, by the same rules."""
    return not name.startswith((".", "~")) and Path(name).suffix.lower()[1:] in READABLE


def audio_file(path: Path, root: Path | None = None) -> AudioFile:
    """Return the AudioFile of a path; size 0 when it cannot be examined, which the load worker will report."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return AudioFile(path, root)
    return AudioFile(path, root, status.st_size, status.st_mtime_ns)

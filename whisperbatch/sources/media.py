"""Which names are recordings, which may be transcripts, and the record of a found one."""

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
UNDER_WAY = frozenset(
    ".part .partial .filepart .tmp .temp .crdownload .download .opdownload .swp .swx .bak .!ut .!qb .~lock".split()
)  # rsync, browsers, WinSCP, editors, yt-dlp
SYSTEM_FOLDERS = frozenset(("lost+found", "System Volume Information", "$RECYCLE.BIN"))


def is_for_people(folder: str) -> bool:
    """Whether a folder of that name is looked into: not hidden, and not a file system's own, which few may read."""
    return not folder.startswith(".") and folder not in SYSTEM_FOLDERS


def is_media(name: str) -> bool:
    """Whether a file of that name in a folder counts: a known extension, not hidden, not a copy that is under way."""
    return not name.startswith((".", "~")) and Path(name).suffix.lower() in MEDIA_SUFFIXES


def is_transcript(name: str) -> bool:
    """Whether a file of that name in a folder may be a transcript, by the same rules."""
    return not name.startswith((".", "~")) and Path(name).suffix.lower()[1:] in READABLE


def is_under_way(name: str) -> bool:
    """Whether a name says that somebody is still writing, wherever it says so: ``talk.part.wav``, ``talk.wav~``.

    Of a folder too: a browser may keep ``talk.wav`` in ``talk.wav.download`` until all of it is there.
    """
    if name.startswith((".", "~")) or name.endswith("~") or (name.startswith("#") and name.endswith("#")):
        return True
    return not UNDER_WAY.isdisjoint(suffix.lower() for suffix in Path(name).suffixes[-2:])


def found(path: Path, root: Path | None = None) -> AudioFile:
    """The record of a file; one that cannot be looked at has size 0, and the loader will say what is wrong with it."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return AudioFile(path, root)
    return AudioFile(path, root, status.st_size, status.st_mtime_ns)

"""Check that the folders of recordings are still there, and wait for those that went away.

A network share that disappears must not pass for a folder whose files were deleted.
"""

import errno
import threading
import time
from collections.abc import Callable
from pathlib import Path

from whisperbatch.errors import RunError
from whisperbatch.pipeline.retry_policy import PASSING, read_errno
from whisperbatch.records import AudioFile

AWAY_S = 300.0  # a folder that is away longer ends the run
LOOK_S = 1.0  # between checks for it
WENT_AWAY = "this folder went away; the run continues when it is back"
UNREACHABLE = PASSING - {errno.EAGAIN, errno.EBUSY, errno.ENOMEM, errno.EMFILE, errno.ENFILE}


class Mounts:
    """Checks that folders of recordings are still mounted; any thread may call it.

    A network folder that goes away leaves nothing, an error, or an empty folder on another device.
    """

    def __init__(self) -> None:
        """Start with no folder."""
        self._devices: dict[Path, int] = {}

    def seen(self, audio: AudioFile) -> None:
        """Remember the device of a file's folder."""
        root = audio.root
        if root is not None and root not in self._devices and (device := _device(root)) is not None:
            self._devices[root] = device

    def is_away(self, audio: AudioFile) -> bool:
        """Whether the folder of a file cannot be reached now."""
        if audio.root is None:
            return read_errno(audio.path) in UNREACHABLE
        device = _device(audio.root)
        if device is None or audio.root not in self._devices or device == self._devices[audio.root]:
            return device is None and audio.root in self._devices
        if read_errno(audio.path) is not None:
            return True
        self._devices[audio.root] = device  # mounted again, with the file in it
        return False

    def wait_for(self, audio: AudioFile, stopping: threading.Event, notify: Callable[[Path], None]) -> bool:
        """Wait for the folder if it is away, until ``stopping`` is set; return whether it was away.

        ``notify`` is called once with the folder.

        Raises:
            RunError: It does not come back.
        """
        if not self.is_away(audio):
            return False
        folder, until_s = audio.root or audio.path.parent, time.monotonic() + AWAY_S
        notify(folder)
        while self.is_away(audio) and not stopping.wait(LOOK_S):
            if time.monotonic() > until_s:
                raise RunError("this folder went away and did not come back; run again when it is there", folder)
        return True


def _device(folder: Path) -> int | None:
    try:
        return folder.stat().st_dev
    except OSError:
        return None

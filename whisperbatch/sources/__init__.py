"""Sources of recordings: each is an iterator of AudioFile.

Modules: media (which file names are recordings), folders (paths, folders, patterns), path_list (list files and standard
input), file_options (options of single files, as in the JSON lines of a list), sidecars (settings files beside
recordings), drop_folder (watched folders), change_events (notices that something in them changed), incomplete (files
that are still being copied).
"""

from whisperbatch.sources.drop_folder import watch
from whisperbatch.sources.folders import from_paths
from whisperbatch.sources.media import MEDIA_SUFFIXES
from whisperbatch.sources.path_list import from_list
from whisperbatch.sources.sidecars import with_sidecars

__all__ = ["MEDIA_SUFFIXES", "from_list", "from_paths", "watch", "with_sidecars"]

"""Where recordings come from: each source is an iterator of AudioFile.

Leaves: media (which names are recordings), folders (paths, folders, patterns), listed (list files and standard input),
asked (lines of JSON in them), sidecars (settings beside recordings), watched (drop folders), ears (changes in these).
"""

from whisperbatch.sources.drop_folder import watch
from whisperbatch.sources.folders import from_paths
from whisperbatch.sources.media import MEDIA_SUFFIXES
from whisperbatch.sources.path_list import from_list
from whisperbatch.sources.sidecars import with_sidecars

__all__ = ["MEDIA_SUFFIXES", "from_list", "from_paths", "watch", "with_sidecars"]

"""Full-text search over transcripts.

Modules: index (an SQLite database of the transcripts' segments), terms (parses queries, and finds them in a text). The
function that reads a transcript is passed in.
"""

from whisperbatch.search.index import UNREADABLE, Changes, Hit, Index
from whisperbatch.search.terms import Query, parse

__all__ = ["UNREADABLE", "Changes", "Hit", "Index", "Query", "parse"]

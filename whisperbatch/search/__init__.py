"""Full text over transcripts: an index of their segments in SQLite, and what people type to look in it.

Comes in: transcripts' files, and how one is read, which is passed in. Goes out: hits. Leaves: terms (what is typed, and
where a text has it), index (the database).
"""

from whisperbatch.search.index import UNREADABLE, Changes, Hit, Index
from whisperbatch.search.terms import Query, parse

__all__ = ["UNREADABLE", "Changes", "Hit", "Index", "Query", "parse"]

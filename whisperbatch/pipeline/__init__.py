"""Threads and bounded queues that join the rooms; the only room that knows them all.

    source thread -> files -> load threads (a LoadWorker each) -> clips (the batcher) -> engine thread
                                                                -> whole transcripts -> writer thread -> outcomes

``run`` is called by the API. Every file that the source gave ends in exactly one Outcome. A failure turns its file into
an Outcome at once and cancels it in every room. Leaves: board (which files are open, and how each ended), stages (what
each thread does), run (starting and ending all of it).
"""

from whisperbatch.pipeline.run import run

__all__ = ["run"]

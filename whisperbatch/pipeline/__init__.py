"""Threads and bounded queues that join the rooms; the only room that knows them all.

    source thread -> files -> load threads (a LoadWorker each) -> clips (the batcher) -> engine thread
                                                                -> whole transcripts -> writer threads -> outcomes

``run`` is called by the API. Every file that the source gave ends in exactly one Outcome. A failure turns its file into
an Outcome at once and cancels it in every room.

Leaves: board (which files are open, and how each ended), planner (what is to be done for a file), outputs (are they as
we left them?), settings (what matters to a text), revision (which weights), waiting (files that another run has in
hand), second_tries (clips that failed in passing), stale (is a watched file still what it was?), writing (a transcript
on disk, told to the journal), moving (recordings that are done or failed, to folders of their own), stages (what each
thread does), run (starting and ending all of it).
"""

from whisperbatch.pipeline.planner import Decision, Planner
from whisperbatch.pipeline.revision import revision_of
from whisperbatch.pipeline.run import run

__all__ = ["Decision", "Planner", "revision_of", "run"]

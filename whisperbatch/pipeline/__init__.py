"""Threads and bounded queues that join the rooms; the only room that knows them all.

    source thread -> files -> load threads (a LoadWorker each) -> clips (the batcher) -> engine thread
                                                                -> whole transcripts -> writer threads -> outcomes

With ``--speakers`` the clips go to a diarizer's thread too, which a whole transcript passes before it is written.

Where a crew transcribes elsewhere, files are handed to its members in place of the loading and decoding here. ``run``
is called by the backends and the bench. Every file that the source gave ends in exactly one Outcome. A failure turns
its file into an Outcome at once and cancels it in every room.

Leaves: board (which files are open, and how each ended), planner (what is to be done for a file), outputs (are they as
we left them?), forms (the format, shape, rules and speakers that an output is known by), file_digest (of a recording's
bytes), earlier (transcripts of a recording that moved), copies and twins (one recording under several names), settings
(what matters to a text), makings (model, weights and settings of each), revision (which weights), waiting (files that
another run has in hand), second_tries (clips that failed in passing), stale (is a watched file still what it was?),
writing (a transcript on disk, told to the journal), moving (recordings that are done or failed, to folders of their
own), kept (clips of long files), attribution (words to speakers), speaker_marks (are the speakers those that are asked
for?), diarizing (finds speakers beside the engine), desk (what is to be done for each file, and its end), hooking
(commands that run at its end), stages (load, decode, write: the model here), crews and handing (the model elsewhere),
run (starting and ending all of it).
"""

from whisperbatch.pipeline.clip_cache import ClipStore
from whisperbatch.pipeline.decision import Decision
from whisperbatch.pipeline.open_files import Job
from whisperbatch.pipeline.planner import Planner
from whisperbatch.pipeline.run import run
from whisperbatch.pipeline.weights_revision import revision_of
from whisperbatch.pipeline.worker_protocol import Ended, Finished, Order, Tiding, WorkerEvent, WorkerLost, WorkerPool

__all__ = [
    "ClipStore",
    "Decision",
    "Ended",
    "Finished",
    "Job",
    "Order",
    "Planner",
    "Tiding",
    "WorkerEvent",
    "WorkerLost",
    "WorkerPool",
    "revision_of",
    "run",
]

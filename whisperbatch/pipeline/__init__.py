"""The pipeline of one run: threads and bounded queues between a source, loaders, the engine and writers.

    source thread -> files -> load threads (a LoadWorker each) -> clips (the batcher) -> engine thread
                                                        -> complete transcripts -> writer threads -> outcomes

With ``--speakers`` each clip also goes to a diarizer's thread, and each complete transcript passes through it before it
is written. With a worker pool, files go to its workers instead of being loaded and decoded here. The backends and the
bench call ``run``. Every file from the source ends in exactly one Outcome; a file that fails becomes an Outcome at once
and is cancelled in every stage.

Modules. A run: run (starts and ends it), file_flow (takes each file from the source to its end), local_stages (load,
decode and write in this process), remote_stages (submit files to a worker pool), worker_protocol (messages between a
run and its pool), open_files (jobs that have not ended, and how each ended), claimed_files (files that another run is
working on). Deciding what to do for a file: planner, facts (from the journal and the disk), decision (pure rules on
those facts), outputs_on_disk (are outputs as we left them?), output_forms (format, shape, rules and speakers of an
output), text_settings (settings that affect the text), text_recipes (model, weights and settings of a text),
weights_revision (which weights a model's name means), earlier_transcripts (of a recording that was moved), copies and
copy_jobs (one recording under several names), file_digest (hash of a recording's bytes). Failures: retry_policy, mounts
(folders that go away), clip_retries (clips that failed for a passing reason), stale (has a watched file changed?).
Speakers: find_speakers (the diarizer's threads), assign_speakers (words to speakers), speaker_marks (does a text have
the requested speakers?). The end of a file: write_outputs, clip_cache (finished clips of long files), move_recordings
(to the folders for done and failed), run_hooks (commands per file).
"""

from whisperbatch.pipeline.clip_cache import ClipStore
from whisperbatch.pipeline.decision import Decision
from whisperbatch.pipeline.open_files import Job
from whisperbatch.pipeline.planner import Planner
from whisperbatch.pipeline.run import RunParts, run
from whisperbatch.pipeline.weights_revision import revision_of
from whisperbatch.pipeline.worker_protocol import (
    ClipFinished,
    FileEnded,
    FileTask,
    WorkerEvent,
    WorkerLost,
    WorkerMessage,
    WorkerPool,
)

__all__ = [
    "ClipFinished",
    "ClipStore",
    "Decision",
    "FileEnded",
    "FileTask",
    "Job",
    "Planner",
    "RunParts",
    "WorkerEvent",
    "WorkerLost",
    "WorkerMessage",
    "WorkerPool",
    "revision_of",
    "run",
]

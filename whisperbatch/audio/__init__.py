"""Decode any media file and cut it into clips of 16 kHz mono int16, in load workers; numpy, no torch.

The pipeline has a ``worker_client.LoadWorker`` for each load thread; everything else runs in the load worker's process.

Modules, from bytes to clips: open_file (a file as bytes), riff (WAVE files with more sound than their header says),
decode (a file to samples), tracks (choice among several audio tracks), frames (a stream to frames), timeline (time
stamps, and silence for gaps), amr (pauses in AMR telephone speech), damage (what was damaged), mixdown (several
channels to one), vad (voice activity detection), clips (samples to clips), spool (samples on disk, for recordings that
are one clip), passes (one file's clips, a pass per track), worker (the load worker's process), worker_client (the
parent's side of it), durations (durations from headers, in a process of its own). PyAV is imported in decode, frames,
mixdown and durations only.
"""

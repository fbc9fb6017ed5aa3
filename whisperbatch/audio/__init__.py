"""Any file to clips of 16 kHz mono int16, in a process of its own; numpy, no torch.

The pipeline holds a ``pool.LoadWorker`` a load thread; all else runs in the worker's process. Leaves: load (formats to
samples), decoding (a stream to frames) and mixdown (channels to one), with lengths the homes of PyAV, tracks (which of
several audio tracks), timeline (when frames sound, and the silence between them), amr (pauses in telephone speech),
harm (what was damaged), opening (a file as bytes), riff (WAVE files with sound behind what their header tells of),
container (whether a file is all there), speech (where there is some, the only home of onnxruntime), clips (samples to
clips), passes (one file's clips, a pass a track), spool (samples on disk, for recordings that are one clip), worker
(the process), pool (the parent's side of it), lengths (what headers tell, in a process too).
"""

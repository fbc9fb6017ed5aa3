"""Any file to clips of 16 kHz mono int16, in a process of its own; numpy, no torch.

The pipeline holds a ``pool.LoadWorker`` a load thread; all else runs in the worker's process. Leaves: load (formats to
samples) and decoding (a stream to frames), with mixdown and lengths the homes of PyAV, timeline (when frames sound, and
the silence between them), amr (pauses in telephone speech), harm (what was damaged), opening (a file as bytes), riff
(WAVE files with sound behind what their header tells of), container (whether a file is all there), speech (where there
is some, the only home of onnxruntime), clips (samples to clips), spool (samples on disk, for recordings that are one
clip), worker (the process), pool (the parent's side of it), lengths (what headers tell, in a process too).
"""

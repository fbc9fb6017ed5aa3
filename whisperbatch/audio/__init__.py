"""Any file to clips of 16 kHz mono int16, in a process of its own; numpy, no torch.

The pipeline holds a ``pool.LoadWorker`` a load thread; all else runs in the worker's process. Leaves: load (formats to
samples), mixdown (channels to one; it and load are the only homes of PyAV), tracks (which of several audio tracks),
opening (a file as bytes), speech (where there is some, the only home of onnxruntime), clips (samples to clips), passes
(one file's clips, a pass a track), spool (samples on disk, for recordings that are one clip), worker (the process),
pool (the parent's side of it).
"""

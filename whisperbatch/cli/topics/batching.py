"""How clips of many files share batches, and how large a batch is.

Load workers (processes of their own) decode recordings, find the speech in them and pack it into
clips of at most 30 seconds: cuts lie in pauses, neighbouring stretches of speech share a clip
until it is full, and what is no speech is left out (pauses of up to about a second inside a
clip stay). Times in the transcript are those of the recording.

A batch of clips goes out when it is full (--batch-size) or when its first clip has waited for
--max-wait seconds, whichever comes first; while the model is busy the batch stays open and keeps
filling, and at the end of the input it goes out at once. Queues are bounded by seconds of audio,
so a long run needs no more memory than a short one.

The engine then keeps its places full: the windows of up to --batch-size clips, of any files, are
decoded side by side, and one that ends makes room for the next at once, so that a long clip does
not hold up the others. Each has its own language, task, prompt and temperature. What
openai-whisper does for one file at a time is done for each: beam search, timestamps, silence and
repetition thresholds, and the retry at higher temperatures. A clip's text depends on nothing but
the clip: not on what shares its batch, nor on a restart.

auto is as many clips as fit in memory and still raise the throughput, found by a few trial
steps. Out of memory, the engine goes on with half as many places.
"""

OPTIONS = ("--batch-size", "--max-wait", "--load-workers")

"""How clips of many files share batches, and how large a batch is.

Load workers (separate processes) decode recordings, detect speech and pack it into clips of at
most 30 seconds. Cuts are made in pauses, neighbouring stretches of speech share a clip until it
is full, and everything else is left out, except pauses of up to about a second inside a clip.
Times in the transcript are those of the recording.

A batch goes to the model when it is full (--batch-size) or when its first clip has waited for
--max-wait seconds, whichever comes first. While the model is busy the batch stays open and keeps
filling; at the end of the input it goes at once. Queues are bounded by seconds of audio, so a
long run needs no more memory than a short one.

The engine then keeps its slots full: the windows of up to --batch-size clips, of any files, are
decoded side by side, and a window that ends makes room for the next at once, so a long clip does
not hold up the others. Each has its own language, task, prompt and temperature, and gets what
openai-whisper does for one file at a time: beam search, timestamps, thresholds on silence and
repetition, and retries at higher temperatures. A clip's text depends on nothing but the clip:
neither on what shares its batch, nor on a restart.

auto takes as many clips as fit in memory and still raise the throughput, found by a few trial
steps. If memory runs out, the engine goes on with half as many slots.
"""

OPTIONS = ("--batch-size", "--max-wait", "--load-workers")

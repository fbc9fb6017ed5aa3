"""When each word is spoken, and text that may be a hallucination.

--word-timestamps finds when each word is spoken, with its probability, as openai-whisper does and
with its results: one more pass over a window's text, for many windows at once, and dynamic time
warping of the model's attention. Segments then start and end with their words, and the next
window starts after the last word. Subtitle options turn it on.

--hallucination-silence-threshold 2 removes text that may be a hallucination in silences of more
than 2 seconds, by openai-whisper's rules; the JSON lists it under "suspects". It has no effect
without word times, as in openai-whisper.
"""

OPTIONS = (
    *("--word-timestamps", "--prepend-punctuations", "--append-punctuations"),
    "--hallucination-silence-threshold",
)

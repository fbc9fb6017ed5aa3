"""When each word is said, and text that may be made up.

--word-timestamps finds when each word is said, with its probability, as openai-whisper does and
with its results: one pass more over a window's text, for many windows at once, and dynamic time
warping of where the model looked. Segments then start and end with their words, and the next
window starts after the last word. Shaped subtitles turn it on.

--hallucination-silence-threshold 2 leaves out text that may be made up in silences of more than
2 seconds, by openai-whisper's rules; what was left out is told under "suspects" in the JSON. It
means nothing without word times, there as here.
"""

OPTIONS = (
    *("--word-timestamps", "--prepend-punctuations", "--append-punctuations"),
    "--hallucination-silence-threshold",
)

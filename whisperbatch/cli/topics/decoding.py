"""How text is searched for, which language it is in, and what is tried again.

Options and defaults are openai-whisper's: beam search at temperature 0, then 0.2 more, up to 1,
while a text repeats itself or is improbable. --beam-size 1 is faster. In clips mode, speech that
was left without text is listened to once more (--second-pass); what stays without, what repeats
itself and what is improbable is listed under "suspects" in the JSON, and so is text with too
few letters for its speech, text in a script that its language is not written in, and text that
was cut off.

Where the language is not given, the five clips with most speech of a recording's first five
minutes vote on it. If they are sure of several languages, each clip is heard in its own and cut
where the language changes; a warning says which languages were heard. --multilingual finds it
for each clip by itself (in sequential mode for each window). In both cases segments in the JSON
have a "language" of their own, and the transcript that of most of its seconds.

--hotwords "Tromsø, Aase Nordmo" puts words that may be said before every window, as
faster-whisper does ('whisperbatch help corrections'); --repetition-penalty 1.2 and
--no-repeat-ngram-size 3 are its guards against loops, with its results.

Command lines written for openai-whisper work, with dashes or underscores. What has no meaning
here is accepted, and one line says so.
"""

OPTIONS = (
    *("--language", "--multilingual", "--prompt", "--hotwords", "--beam-size", "--best-of", "--patience"),
    *("--length-penalty", "--temperature", "--temperature-increment-on-fallback"),
    *("--compression-ratio-threshold", "--logprob-threshold", "--no-speech-threshold", "--second-pass"),
    *("--condition-on-previous-text", "--carry-initial-prompt", "--prefix", "--without-timestamps"),
    *("--suppress-tokens", "--repetition-penalty", "--no-repeat-ngram-size", "--seed"),
)

"""How speech is decoded, how the language is detected, and what is retried.

Options and defaults are openai-whisper's: beam search at temperature 0, then retries in steps of
0.2 up to 1 while a text repeats itself or is improbable. --beam-size 1 is faster. In clips mode,
speech that was left without text is decoded once more (--second-pass). The JSON lists under
"suspects" what still has no text, repeats itself, is improbable, has too few letters for its
speech, is in a script that its language does not use, or was cut off.

If no language is given, the five clips with most speech in a recording's first five minutes vote
on it. If they are sure of several languages, each clip is decoded in its own and cut where the
language changes; a warning names the languages. --multilingual detects the language of each clip
(in sequential mode of each window). In both cases segments in the JSON have a "language" of their
own, and the transcript has the language of most of its seconds.

--hotwords "Tromsø, Aase Nordmo" puts words to expect before every window, as in faster-whisper
('whisperbatch help corrections'); --repetition-penalty 1.2 and --no-repeat-ngram-size 3 are its
guards against loops, with the same results.

Command lines written for openai-whisper work, with dashes or underscores. Options that have no
effect here are accepted, and a notice says so.
"""

OPTIONS = (
    *("--language", "--multilingual", "--prompt", "--hotwords", "--beam-size", "--best-of", "--patience"),
    *("--length-penalty", "--temperature", "--temperature-increment-on-fallback"),
    *("--compression-ratio-threshold", "--logprob-threshold", "--no-speech-threshold", "--second-pass"),
    *("--condition-on-previous-text", "--carry-initial-prompt", "--prefix", "--without-timestamps"),
    *("--suppress-tokens", "--repetition-penalty", "--no-repeat-ngram-size", "--seed"),
)

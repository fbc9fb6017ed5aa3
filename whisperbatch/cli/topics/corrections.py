r"""Names and terms: hotwords that the model should expect, and rules that correct its text.

    whisperbatch transcribe talks/ --hotwords-file terms.txt --replace names.txt
    whisperbatch convert talks/ --format srt --replace names.txt --overwrite

--hotwords puts words to expect before every window; --hotwords-file adds more, one a line. They
share room for 223 tokens (some 150 words) with --prompt; a notice says how many were left out.

--replace applies rules to the finished text, before anything is written. One rule a line, UTF-8:

    # names.txt
    jon smith -> John Smyth
    um ->
    /\b(\d+) km\b/ -> \1 kilometres
    /colou?r/i -> colour
    [de]
    kubernetis -> Kubernetes
    [all]

The left side matches whole words, in any case and with any number of spaces between them; in
scripts without spaces it matches anywhere. If the right side is empty, the words are removed. A
left side between slashes is a regular expression (of the Python package regex), with \1 for
groups on the right side and i after the second slash to ignore case. [de] limits the rules below
it to a language, and [all] ends that. Lines that begin with # and blank lines are ignored. Each
rule is applied once to each segment, in order; several files are read as one. A rule that runs
for more than 2 seconds on a transcript is stopped: the transcript is written without it, and a
warning names it.

Words that keep their text keep their times and probability. New words share the time of those
that they replace. The JSON keeps the decoder's text ("original", "original_words"), so other
rules, or none, can be applied to it without transcribing again: change the file and run the same
command. Text that was corrected by hand is kept. Without a JSON among the outputs the recordings
are transcribed again, and a notice says so. convert leaves replaced text as it is unless
--replace is given; an empty file undoes the rules.

The review page's "Export corrections" writes such a file from corrections made at least twice.
"""

OPTIONS = ("--replace", "--hotwords", "--hotwords-file")

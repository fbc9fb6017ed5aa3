r"""Names and terms: hotwords that the model should expect, and rules that correct its text.

    whisperbatch transcribe talks/ --hotwords-file terms.txt --replace names.txt
    whisperbatch convert talks/ --format srt --replace names.txt --overwrite

--hotwords puts words that may be said before every window; --hotwords-file adds more, one a line.
They share room for 223 tokens (some 150 words) with --prompt; a line says how many were left
out.

--replace applies rules to the finished text, before anything is written. A rule a line, UTF-8:

    # names.txt
    jon smith -> John Smyth
    um ->
    /\b(\d+) km\b/ -> \1 kilometres
    /colou?r/i -> colour
    [de]
    kubernetis -> Kubernetes
    [all]

The left side matches whole words, whatever their case and however many blanks part them; in
scripts without blanks it matches anywhere. With nothing on the right the words go. Between
slashes stands a regular expression (of Python's package regex), with \1 for groups on the right
and i after it to ignore case. [de] limits the rules below it to a language, [all] ends that. Lines
that begin with # and blank lines are left out. Each rule is applied once to each segment, in
order; several files are read as one. A rule that runs for more than 2 seconds on a transcript is
stopped: the transcript is written without it, and a warning names it.

Words that keep their text keep their times and probability. New words share the time of those
that they replace. The JSON keeps the decoder's text ("original", "original_words"), so that other
rules, or none, are applied to it without transcribing again: change the file and run the same
command. What was corrected by hand is kept. Without a JSON among the outputs the recordings are
transcribed again, and a line says so. convert leaves a replaced text as it is unless --replace is
given; an empty file takes the rules back.

The review page's "Export corrections" makes such a file of what was corrected at least twice.
"""

OPTIONS = ("--replace", "--hotwords", "--hotwords-file")

"""Words in all transcripts: who said what, and when.

    whisperbatch search harbour
    whisperbatch search '"new harbour" ferr*' interviews/
    whisperbatch search harbour --open

Without paths it looks in every transcript in JSON that the journal knows, with paths in those files
and in folders with all below them, there also in srt, vtt, ass and stamped txt that have no JSON
beside them. Several words have to be in one segment, in any order; words in
quotation marks next to each other; harb* is every word that begins so. Capitals and accents make no
difference. Chinese, Japanese, Korean and Thai are found at any place in the text. A phrase that one
segment begins and the next one ends is not found.

Each line has the transcript, the time, the speaker or channel if known, and the text. --json prints a
line of JSON for each: path, start, end, speaker, channel, text, and matches, the ranges of characters
that were found. The exit code is 1 when nothing is found.

--open opens the review page that shows the first place, at that second; it is looked for beside the
transcript, in the current folder and in the folders above. "whisperbatch review" makes one.

The index is search.sqlite3 beside the journal. Before each search, transcripts that are new or whose
size or time has changed are read, and those that are gone are dropped. It can be deleted at any time.
"""

OPTIONS = ("--limit", "--open", "--json", "--journal")

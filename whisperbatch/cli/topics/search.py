"""Search in all transcripts: who said what, and when.

    whisperbatch search harbour
    whisperbatch search '"new harbour" ferr*' interviews/
    whisperbatch search harbour --open

Without paths, every transcript in JSON that is in the journal is searched; with paths, those
files and folders with their subfolders, including srt, vtt, ass and stamped txt that have no JSON
beside them. Several words must occur in one segment, in any order; words in quotation marks must
be next to each other; harb* is every word with that prefix. Capitals and accents make no
difference. Chinese, Japanese, Korean and Thai are found anywhere in the text. A phrase that
begins in one segment and ends in the next is not found.

Each line has the transcript, the time, the speaker or channel if known, and the text. --json
prints a line of JSON for each match: path, start, end, speaker, channel, text, and matches, the
ranges of characters that were found. The exit code is 1 if nothing is found.

--open opens the review page at the first match; the page is looked for beside the transcript, in
the current folder and in the parent folders. "whisperbatch review" makes one.

The index is search.sqlite3 beside the journal. Before each search, transcripts that are new or
have changed in size or time are read, and those that are gone are dropped. You can delete the
index at any time.
"""

OPTIONS = ("--limit", "--open", "--json", "--journal")

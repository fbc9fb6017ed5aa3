"""The review page: what to listen to first, and corrections in place.

--report run.html writes a page instead of JSON. "whisperbatch review PATHS" makes one from JSON
transcripts (ours, openai-whisper's or whisperX's) and from srt, vtt, ass and txt with time stamps
(see "whisperbatch help formats"); --output names it (review.html).

A recording is looked for beside its transcript, in the folders that --recordings names and where
the journal saw it; of several transcripts of one recording the newest is shown. A page is
replaced only by a complete one, and stays if no transcript was found.

Files that need a listener come first: speech without text, improbable text, loops and other
suspects, an uncertain language, damage. Each has its reasons with their times, its transcript with
uncertain words shaded (which needs --word-timestamps), and a player. Click on a segment, a word or
the time of missing speech to hear it. Correct text in place and save the corrected JSON;
"whisperbatch convert talk.corrected.json --format srt" renders it. "Save as Markdown" or "Word"
gives a document with the corrections, as convert makes it.

Each speaker has a colour. Type a name above the transcript to rename a speaker everywhere; the
name of another speaker, or "merge into", merges the two. Click on the name before a segment to
give that segment to another speaker. The saved JSON has all of it, and convert renders it.

The first file in doubt is open. Mark it as checked and go on with "Next in doubt"; the browser
keeps the marks for this page, and a JSON that you save has "checked": true in its "whisperbatch"
block, which the next page reads. "Export corrections" saves words that you have corrected in the
same way at least twice as rules for --replace ('whisperbatch help corrections').

The page is a single file, works from disk without a network, and finds the recordings as long as
it is moved together with their folder. Keys: j and k for segments, n and p for files, d for the
next in doubt, c for checked, Space plays, < and > change the speed, e edits, / searches.
"""

OPTIONS = ("--output", "--recordings")

"""How srt, vtt and ass are shaped, by transcribe, watch and convert alike.

    whisperbatch transcribe film.mkv --format srt --subtitles standard
    whisperbatch convert interviews/*.json --format srt,ass --subtitles asian

standard is 2 lines of 42 columns, cues that begin and end with sentences and last 0.833 to 7
seconds, 17 characters a second; asian the same with 2 lines of 16 wide characters (others count
half) and 9 a second. An option given beside a preset replaces that part of it.

--max-line-width, --max-line-count, --max-words-per-line and --highlight-words are
openai-whisper's, with its results, but that nothing breaks inside "long-term" or "3.14159", which
come as two words. With --break-at sentences, cues begin and end with
sentences; one too long for a cue is split after a comma, or in equal parts. Short and fast cues
stay longer where the next one leaves room (--min-cue, --max-cps), long ones are split
(--max-cue).

All but --min-cue and --max-cps need word times, and turn them on; a transcript without them is
refused by convert in one sentence. Subtitles that lie there unshaped or in a preset's shape are
made anew from the JSON when another shape is asked for; ones that were corrected by hand are
kept.

A transcript of another tool whose times jump back is put in the order of time, and convert says so.
"""

OPTIONS = (
    *("--subtitles", "--break-at", "--max-line-width", "--max-line-count", "--max-words-per-line"),
    *("--highlight-words", "--min-cue", "--max-cue", "--max-cps"),
)

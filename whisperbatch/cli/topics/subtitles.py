"""The layout of srt, vtt and ass, for transcribe, watch and convert alike.

    whisperbatch transcribe film.mkv --format srt --subtitles standard
    whisperbatch convert interviews/*.json --format srt,ass --subtitles asian

standard has 2 lines of 42 columns, cues that begin and end with sentences and last 0.833 to 7
seconds, and 17 characters a second; asian has 2 lines of 16 wide characters (others count half)
and 9 a second. Options given with a preset override that part of it.

--max-line-width, --max-line-count, --max-words-per-line and --highlight-words are
openai-whisper's, with its results, except that nothing breaks inside "long-term" or "3.14159",
which Whisper gives as two words. With --break-at sentences, cues begin and end with sentences; a
sentence too long for a cue is split after a comma, or in equal parts. Short and fast cues stay
longer where the next one leaves room (--min-cue, --max-cps), long ones are split (--max-cue).

All but --min-cue and --max-cps need word times, and turn them on; convert refuses a transcript
without them. Existing subtitles in the default layout or a preset's are rendered again from the
JSON when you choose another layout; subtitles that were corrected by hand are kept.

If the times in another tool's transcript jump back, convert sorts it by time and says so.
"""

OPTIONS = (
    *("--subtitles", "--break-at", "--max-line-width", "--max-line-count", "--max-words-per-line"),
    *("--highlight-words", "--min-cue", "--max-cue", "--max-cps"),
)

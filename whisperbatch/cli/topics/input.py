"""What goes in: files, folders, patterns, lists, and lines of JSON with settings of their own.

    whisperbatch transcribe interviews/          a folder, with all below it
    whisperbatch transcribe a.mp3 b.mkv          files, whatever their extension
    whisperbatch transcribe '*.wav'              a pattern, left by the shell
    whisperbatch transcribe --from-file LIST     a list, a path a line
    ... | whisperbatch transcribe -              a list, taken as it comes
    ... | whisperbatch transcribe - -0           with NUL between the paths

Folders are searched for audio and video files by their extension, in a stable order;
hidden files and transcripts are left out. Every format that FFmpeg's libraries read is read,
without an FFmpeg of your own. What still decodes of a damaged file is transcribed and the
damage reported. What is no recording fails with its reason, and costs nothing but itself.

A format is known by a file's content. Some telephone and Bluetooth formats have nothing in
their content that says so, and are known by their extension: .g722, .g723_1, .g726 (32 kbit/s),
.g729, .gsm, .sbc, .msbc, .aptx, .aptxhd, .ul .ulaw .mulaw (mu-law), .al .alaw (A-law), .sln and
.sln16 (Asterisk). Raw mu-law, A-law and .sln are taken to be 8000 Hz, mono.

Times are those of the recording, as a player shows them: sound that starts later than the
picture, muted stretches and parts that cannot be decoded count as silence.

A line of a list may be JSON, with settings for that file alone:

    {"path": "talk.wav", "language": "de"}

Its keys are path, language, task, prompt, hotwords, replace (a file of rules, or several, found
from the list's folder), format, speakers (a number, in a run with --speakers) and output (a folder
below the current one, the recording's or --output-dir). A line that makes no sense fails alone, as
in "list.jsonl, line 4: not valid JSON at column 11".

Settings may lie beside recordings too, in folders, drop folders and elsewhere:
talk.whisperbatch.toml is for talk.mp3, whisperbatch.toml for all in its folder and below.

    language = "de"
    hotwords = ["Tromsø", "Aase Nordmo"]
    replace = "names.txt"

Their keys are language, task, prompt, hotwords, replace, formats and speakers. Key by key, what
stands nearest to the recording wins: its line of JSON, its own file, its folder's, that of a
folder further up, but not above the folder that was named; then the command line, the environment
and the settings file. replace may only name files in the folder that was named. A file that makes
no sense fails the recordings that it is for, one that changes counts as other settings, and a
drop folder's recordings wait until it stands still. --move-done leaves it where it is.
--no-sidecars leaves all of them out.
"""

OPTIONS = ("--from-file", "--null", "--relative-to", "--dry-run", "--sidecars")

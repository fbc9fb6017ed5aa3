"""Input: files, folders, patterns, lists, and lines of JSON with their own settings.

    whisperbatch transcribe interviews/          a folder and its subfolders
    whisperbatch transcribe a.mp3 b.mkv          files, whatever their extension
    whisperbatch transcribe '*.wav'              a pattern, in quotes
    whisperbatch transcribe --from-file LIST     a list, one path a line
    ... | whisperbatch transcribe -              a list, read as it arrives
    ... | whisperbatch transcribe - -0           with NUL between the paths

Folders are searched for audio and video files by extension, in a stable order; hidden files and
transcripts are ignored. Every format that FFmpeg's libraries can decode is accepted, and you do
not need to install FFmpeg. The parts of a damaged file that can still be decoded are transcribed,
and the damage is reported. A file that is not a recording fails with the reason, and does not
affect the others.

A format is recognised by a file's content. Some telephone and Bluetooth formats cannot be, and
are recognised by their extension: .g722, .g723_1, .g726 (32 kbit/s), .g729, .gsm, .sbc, .msbc,
.aptx, .aptxhd, .ul .ulaw .mulaw (mu-law), .al .alaw (A-law), .sln and .sln16 (Asterisk). Raw
mu-law, A-law and .sln are taken to be 8000 Hz, mono.

Times are those that a player shows: sound that starts later than the picture, muted stretches and
parts that cannot be decoded count as silence.

A line of a list may be JSON, with settings for that file alone:

    {"path": "talk.wav", "language": "de"}

Its keys are path, language, task, prompt, hotwords, replace (one or more files of rules, relative
to the list's folder), format, speakers (a number, in a run with --speakers) and output (a folder
below the current one, the recording's or --output-dir). A line that is not valid fails alone, as
in "list.jsonl, line 4: not valid JSON at column 11".

Settings may also be stored beside recordings, in ordinary folders and in drop folders:
talk.whisperbatch.toml is for talk.mp3, whisperbatch.toml for its folder and all subfolders.

    language = "de"
    hotwords = ["Tromsø", "Aase Nordmo"]
    replace = "names.txt"

Their keys are language, task, prompt, hotwords, replace, formats and speakers. For each key, the
setting nearest to the recording wins: its line of JSON, its own file, its folder's file, those of
the folders above (up to the folder that you named), then the command line, the environment and
the settings file. replace may only name files in the folder that you named. A file that is not
valid fails the recordings that it is for; a changed file counts as new settings, and in a drop
folder recordings wait until it has stopped changing. --move-done leaves it where it is.
--no-sidecars ignores all of them.
"""

OPTIONS = ("--from-file", "--null", "--relative-to", "--dry-run", "--sidecars")

"""Drop folders: transcribe the files in them, then new ones, until Ctrl-C.

    whisperbatch watch incoming/ --format srt

A file is queued once it has not changed for --settle seconds. One that is shorter than its header
says (a WAV, AIFF or AVI whose header promises more data, an MP4 without its index) counts as
still growing, for as long as it takes; a notice says so after half a minute. Names of unfinished
copies are always ignored: .part, .tmp, .crdownload, dot files, editors' and rsync's names, also as
in talk.part.wav.

The transcript follows the recording. New content under the same name is transcribed again and
replaces the old transcript, even one still in progress; the last content wins. A recording that
disappears before it was read is not a failure.

Changes are reported by the operating system; in addition the folders are scanned every --rescan
seconds. Network folders do not report changes made by others: with --poll they are scanned every
2 seconds, less often if a scan takes long. If a folder vanishes, a notice says so, and it is
watched again when it is back.

--move-done DIR moves each recording, once its transcripts are on disk, to its place in the tree
below DIR. Transcripts are written to DIR too, so that they are beside it, unless --output-dir
names another folder. --move-failed DIR does the same for recordings that failed. DIR may be
inside the drop folder. Nothing is ever overwritten: the next recording with a name that is taken
becomes talk-2.wav, with talk-2.txt; the very same recording delivered again is not transcribed
again. It works across file systems (copied, synced, then removed), and if a run is killed in
between, the next start finishes the move. What was transcribed before without --move-done is
transcribed again, since its transcripts are looked for in DIR.

SIGTERM ends the watch as Ctrl-C does: files being decoded are finished and written, and the exit
code is 130. The rest is done after the next start. Outside a terminal, or with --progress plain, a
line a minute shows the state. .github/whisperbatch.service is a unit for systemd; its first lines
are the commands that create what it needs.
"""

OPTIONS = ("--settle", "--rescan", "--poll", "--until-idle", "--move-done", "--move-failed")

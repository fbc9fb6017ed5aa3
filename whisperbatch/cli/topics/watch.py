"""Drop folders: what lies there, then what arrives, until Ctrl-C.

    whisperbatch watch incoming/ --format srt

A file counts once it has stood still for --settle seconds. One that is shorter than its own
container says (a WAV, AIFF or AVI whose header tells of more, an MP4 without its index) counts
as growing, for as long as it takes; a line says so after half a minute. Names of copies that
are under way never count: .part, .tmp, .crdownload, dot files, editors' and rsync's names, also
as in talk.part.wav.

The transcript follows the recording. New content under the same name is transcribed again, in
place of the old transcript and of whatever was under way for it; the last content wins. A
recording that goes before it was read is no failure.

Changes are heard of from the operating system, and every --rescan seconds the folders are
looked through whatever it told. Network folders do not tell what others do there: with --poll
they are looked through every 2 seconds, less often when a look takes long. A folder that
vanishes is told, looked for, and listened to anew when it is back.

--move-done DIR moves each recording there once its transcripts lie on the disk, to its place in
the tree. Transcripts are written to DIR too, so that they lie beside it, unless --output-dir
says where they go. --move-failed DIR does the same for what failed. DIR may lie in the drop
folder. Nothing is ever overwritten: the next recording of a name that is taken there becomes
talk-2.wav, with talk-2.txt; the very same recording brought again is not transcribed again. It
works across file systems (copied, synced, then removed), and a run that was killed in between
finishes it at the next start. What was transcribed before without --move-done is transcribed
again, since its transcripts are looked for in DIR.

SIGTERM ends the watch as Ctrl-C does: what the model works on is finished and written, and the
exit code is 130. What was not begun is done after the next start. Outside a terminal, or with
--progress plain, a line a minute tells the state. .github/whisperbatch.service is a unit for
systemd; its first lines are the commands that make what it needs.
"""

OPTIONS = ("--settle", "--rescan", "--poll", "--until-idle", "--move-done", "--move-failed")

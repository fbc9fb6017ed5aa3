"""What comes out: the formats, where the files lie and what they are called.

    txt, vtt, srt, tsv, json    byte for byte as openai-whisper writes them;
                                "all" means these five; the JSON has one more
                                key at its end, "whisperbatch"
    lrc, csv                    as whisper.cpp writes them
    aud                         labels for Audacity, as whisperX writes them
    ass                         Advanced SubStation Alpha
    rttm                        who speaks when, as NIST's tools read it

Where a transcript says who speaks ("speaker" in its JSON, as whisperX puts it there, or
"channel"), every format does: [SPEAKER_00]: text, or the format's own place for it (a column in
csv, the Name field in ass).

Transcripts lie beside their recordings: talk.wav gives talk.txt and talk.json. --output-dir
mirrors the tree there instead. --name '{stem}.{language}' names files for players. Two
recordings that would share a name (talk.wav, talk.mp3) both use their full names: talk.wav.txt,
talk.mp3.txt.

A transcript is whole or not there: files are written under a temporary name, synced and
renamed. A file that whisperbatch did not write, or that somebody has corrected since, is never
replaced without --overwrite.

Other formats are made from the JSON, ours or openai-whisper's, whisperX's included, without
transcribing again:

    whisperbatch convert talk.json --format srt
    whisperbatch convert transcripts/ --format srt --output-dir subtitles

It takes files, folders, patterns and lists as transcribe does. JSON in a folder that is not a
transcript is passed over; --output-dir keeps a folder's tree.

--stdout writes transcripts to standard output and nothing else; all messages go to standard
error.
"""

OPTIONS = ("--format", "--output-dir", "--relative-to", "--name", "--overwrite", "--stdout")

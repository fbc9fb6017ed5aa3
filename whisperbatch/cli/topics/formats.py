"""What comes out: the formats, where the files lie and what they are called.

    txt, vtt, srt, tsv, json    byte for byte as openai-whisper writes them;
                                "all" means these five; the JSON has one more
                                key at its end, "whisperbatch"
    lrc, csv                    as whisper.cpp writes them
    aud                         labels for Audacity, as whisperX writes them
    ass                         Advanced SubStation Alpha
    docx                        for Word: a paragraph a turn, uncertain words
                                shaded (with --word-timestamps)
    md                          Markdown: a paragraph a turn, headings at long
                                pauses
    rttm                        who speaks when, as NIST's tools read it

Where a transcript says who speaks ("speaker" in its JSON, as whisperX puts it there, or
"channel"), every format does: [SPEAKER_00]: text, or the format's own place for it (a column in
csv, the Name field in ass).

docx and md begin with the recording's name, the language and the length. A paragraph ends where
the speaker changes, at a pause of --paragraph-pause seconds, and with a sentence once it has grown
long. Each begins with its time, [12:34]; --no-timestamps-in-text leaves the times out.
--timestamps-in-text gives txt the same paragraphs, which "convert" reads back.

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

It also reads what other tools made: srt, vtt, ass, and txt whose text begins with a time stamp, as
in "[00:12] text" or "00:00:12 text". Text must be in UTF-8. In a folder JSON comes first: an srt
beside talk.json is not read, unless it is named. A name such as talk.de.srt gives the language.
Without word times, subtitles cannot be reshaped.

--stdout writes transcripts to standard output and nothing else; all messages go to standard
error.
"""

OPTIONS = (
    *("--format", "--output-dir", "--relative-to", "--name", "--overwrite", "--stdout"),
    *("--paragraph-pause", "--timestamps-in-text"),
)

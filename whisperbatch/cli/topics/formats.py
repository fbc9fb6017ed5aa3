"""Output formats, and where outputs are written and how they are named.

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
    rttm                        who speaks when, for NIST's tools

If a transcript has speakers ("speaker" in its JSON, as in whisperX's, or "channel"), every format
shows them: as [SPEAKER_00]: text, or in the format's own field (a column in csv, the Name field in
ass).

docx and md begin with the recording's name, the language and the length. A paragraph ends where
the speaker changes, at a pause of --paragraph-pause seconds, and, once it has grown long, at the
end of a sentence. Each begins with its time, [12:34]; --no-timestamps-in-text leaves the times
out. --timestamps-in-text gives txt the same paragraphs, which "convert" can read back.

Transcripts are written beside their recordings: talk.wav gives talk.txt and talk.json.
--output-dir mirrors the tree in another folder instead. --name '{stem}.{language}' suits media
players. Two recordings that would share a name (talk.wav, talk.mp3) both use their full names:
talk.wav.txt, talk.mp3.txt.

A transcript is either complete or absent: files are written under a temporary name, synced and
renamed. A file that whisperbatch did not write, or that somebody has corrected since, is never
replaced without --overwrite.

Other formats are made from the JSON (ours, openai-whisper's or whisperX's) without transcribing
again:

    whisperbatch convert talk.json --format srt
    whisperbatch convert transcripts/ --format srt --output-dir subtitles

It takes files, folders, patterns and lists as transcribe does. JSON files in a folder that are
not transcripts are ignored; --output-dir keeps a folder's tree.

It also reads what other tools wrote: srt, vtt, ass, and txt that begins with a time stamp, as in
"[00:12] text" or "00:00:12 text". Text must be in UTF-8. In a folder JSON comes first: an srt
beside talk.json is not read unless you name it. A name such as talk.de.srt gives the language.
"""

OPTIONS = (
    *("--format", "--output-dir", "--relative-to", "--name", "--overwrite", "--stdout"),
    *("--paragraph-pause", "--timestamps-in-text"),
)

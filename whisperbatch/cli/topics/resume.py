"""Continuing a run: the journal, transcribing again, several runs at once.

After Ctrl-C, a crash or a power cut, the same command, started from any folder, finishes the
rest. A journal in your state folder records which files are done.

A recording is done if it has not changed, the settings that affect the text are the same (model
and its revision, task, language, prompt, decoding, speech detection; not device, number type,
batch size or output formats), and every output still exists. With another model or language it is
transcribed again and replaced; a missing format is made from the JSON, without the model, and so
is the same transcript in another --output-dir. Speakers requested later are added without
decoding again.

A transcript that somebody has corrected is kept, with a notice: a new text gets the full name
(talk.wav.txt), unless --overwrite is given. If the journal is lost, transcripts whose JSON
proves recording and settings are recognised. Other files are left alone.

A recording that was renamed or moved is not transcribed again: its transcripts are made at the
new place from the JSON at the old one, so keep json among the formats. The old transcripts stay.
If a run has several copies of a recording, one is transcribed and the others get its transcript.
All bytes are compared, so no recording gets another one's text. --no-dedupe turns both off, and
then no recording is read a second time for that.

--redo transcribes finished files again (if interrupted, the same command continues), and
--retry-failed those that failed for a reason that seemed permanent. --dry-run shows what would be
done with each file and why, and how many hours of audio that is as far as headers give durations.

    whisperbatch status interviews/      done, failed, in progress, pending
    whisperbatch forget interviews/      remove from the journal; files stay

Several runs may work on one folder: none takes a file that another is working on, and files of a
run that was killed are taken over. Finished clips of recordings over 30 minutes are kept until
the recording is done.
"""

OPTIONS = ("--journal", "--no-journal", "--no-dedupe", "--redo", "--retry-failed", "--dry-run")

"""What is done stays done: the journal, doing again, several runs at once.

The same command, started again from any folder, after Ctrl-C, a crash or a power cut, does the
rest. A journal in your state folder knows what is done.

Done means: the same recording, the same settings that matter to the text (model and its
revision, task, language, prompt, decoding, speech detection; not device, number format, batch
size or output formats), and every output still there. Another model or language does it again
in place; a format that is missing is made from the JSON, without the model, and so is the same
transcript in another --output-dir. Speakers asked for later are added without decoding again.

A transcript that somebody has corrected is kept, which is said: a new text gets the full name
(talk.wav.txt), unless --overwrite is given. When the journal is lost, transcripts whose JSON proves recording
and settings are taken up again. What else lies there is left alone.

A recording that was renamed or moved is not transcribed again: where it is now, its transcripts
are made from the JSON kept at its old place, so keep json among the formats. The old transcripts
stay. Of copies of one recording in a run one is transcribed, and the others get its transcript.
All of their bytes are compared, so no recording gets another one's text. --no-dedupe turns both
off, and then no recording is read a second time for that.

--redo does again what is done (interrupted, the same command goes on where it was), and
--retry-failed what failed for a reason that seemed to last. --dry-run tells what would be done
with each file and why, and how many hours that is as far as headers tell.

    whisperbatch status interviews/      what is done, failed, in hand, pending
    whisperbatch forget interviews/      let the journal forget; files stay

Several runs may work on one folder: none does what another has in hand, and what a run that was
killed had in hand is taken over. Finished clips of recordings over 30 minutes are kept until the
recording is done.
"""

OPTIONS = ("--journal", "--no-journal", "--no-dedupe", "--redo", "--retry-failed", "--dry-run")

"""A transcript to cues, for srt, vtt and ass.

cues (a cue, its text, its width, its time stamps), shape (all steps, in order), by_words (cues by openai-whisper's
rules), by_sentences (cues that keep sentences whole), timing (when cues appear and go), units (words that no break may
part).
"""

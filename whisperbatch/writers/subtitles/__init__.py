"""Subtitle cues, for srt, vtt and ass.

Modules: shape (transcript to cues: runs all the steps), by_words (cues by openai-whisper's rules), by_sentences (cues
that keep sentences whole), timing (when cues appear and disappear), cues (the Cue class, text width, time stamps),
units (words that must not be separated by a break).
"""

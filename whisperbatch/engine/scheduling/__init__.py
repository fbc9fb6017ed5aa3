"""Decide which windows are decoded when, and what becomes of their tokens. No torch: policy only, on plain values.

continuous_batching (the engine), parallel_engines (several of them on the cores of a CPU), device_protocol (what they
need from a device); request (what a clip and a file have in common), clip_request (clips mode), file_request
(openai-whisper's sequential mode), scheduler (which windows run next), slots (which window holds which slot), hotwords
(those that fit before a window); language_vote (a file's language), language_choice (a window's), language_changes
(where it changes within a clip); segments (tokens to timed text), words (tokens to words), pauses (cuts segments at a
pause), quality (whether a text is good enough, and which try to keep), coverage (speech without text), hallucinations
(text made up in silence).
"""

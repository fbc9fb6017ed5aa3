"""Run the model on a device: encode windows, decode them in batches and align their words.

runner (features, encoder, decode batches), decode_batch (windows decoded together), step_plan (the state of slots and
steps), logit_rules (masks forbidden tokens), token_choice (picks candidates from logits), best_tokens (the same on a
CPU, from a few exact logits), beam_search, sampling_noise, cuda_graphs (records and replays passes), word_alignment and
dtw (times of tokens), batch_size (how many windows to decode together), step_times (remembers how long steps take),
memory (how much is free), stopwatch (time per stage), health (facts about devices for ``info``).
"""

"""What runs on the device: windows encoded, decoded side by side and aligned.

runner (features, encoder, batches of windows), decode_batch (windows decoded side by side), step_plan (which rows a
step works on), logit_rules (what may not be sampled), token_choice (what may come next), beam_search, sampling_noise,
cuda_graphs (passes that CUDA replays), word_alignment and dtw (when each token was said), batch_size (how many windows
at once), memory (how much is free), stopwatch (where the time goes), health (what stands in a device's way).
"""

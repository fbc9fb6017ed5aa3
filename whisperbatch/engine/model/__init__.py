"""The Whisper model: finding, downloading and loading its weights, and running the network.

Weights: model_names (the one table of names), local_caches (models on this machine), checkpoint (finds or fetches the
requested model), download (progress), formats (a package: the file formats of weights), random_models (models with
random weights), weights (loads tensors, settings and tokenizer), tokenizer.

Network: mel_filters, log_mel (samples to features), encoder, decoder (one pass on static KV caches),
self_attention_cache (keys and values of the text), cross_attention_cache (those of the audio), linear (linear maps and
norms), quantized (linear maps in 8 bits).
"""

"""Whisper itself: where its weights come from, and the network that they make.

model_names (the one table of names), local_caches (what is on this machine), checkpoint (which model is meant, and how
to get it), download (how far one is), formats (a package: the file formats of weights), random_models (models of random
weights), weights (tensors, settings, tokenizer), tokenizer; mel_filters, log_mel (samples to features), encoder,
decoder (one pass on static caches), self_attention_cache (keys and values of the text), cross_attention_cache (those of
the audio), linear (products and norms), quantized (products in 8 bits).
"""

"""Which models there are, where they come from and where they are stored.

    demo                        comes with whisperbatch: a real Whisper, but a
                                very small one, trained on a few hundred words
                                of synthetic English and German speech
    tiny, base, small, medium   OpenAI's, from fast to good; tiny.en, base.en,
                                small.en and medium.en know English only
    large-v1, -v2, -v3          OpenAI's largest, and slowest
    turbo                       OpenAI's large-v3-turbo, 1.6 GB; the default
    distil-large-v3             distil-whisper's; also distil-small.en,
                                -medium.en, -large-v2 and -large-v3.5
    openai/whisper-small        any Whisper on the Hugging Face hub, by its id,
                                including Systran/faster-whisper-small
    models/mine                 a folder: Hugging Face's layout (safetensors or
                                pytorch_model.bin) or CTranslate2's, as
                                faster-whisper and whisperX use it
    models/mine.pt              a file of OpenAI's or of whisper.cpp (ggml: f32,
                                f16, q8_0, q5_0, q5_1, q4_0, q4_1)

A model is downloaded once, into the Hugging Face cache (or --model-dir), after its size and
location have been shown. "whisperbatch fetch MODEL" does that before an offline run, and
"whisperbatch info" lists the models on this machine. HF_HOME names another cache, HF_ENDPOINT
another hub.

A model that is only in openai-whisper's or faster-whisper's cache is used from there, with a
notice. What a checkpoint lacks (a tokenizer, alignment heads) is taken from what OpenAI published
for its size, with a notice. Weights in 8, 5 or 4 bits are dequantised: they save disk space, not
memory.

Code that comes with a model is never run: only tensors are read from pickles. turbo, the distil
and .en models and demo were not trained to translate.

On a CPU, --model small or base and --beam-size 1 are faster than turbo.
"""

OPTIONS = ("--model", "--model-dir", "--offline", "--task", "--compute-type")

"""Which models there are, where they come from and where they lie.

    demo                        comes with whisperbatch: a real Whisper, but a
                                very small one, trained on a few hundred words
                                of synthetic English and German speech
    tiny, base, small, medium   OpenAI's, from fast to good; tiny.en, base.en,
                                small.en and medium.en hear English only
    large-v1, -v2, -v3          OpenAI's largest, and slowest
    turbo                       OpenAI's large-v3-turbo, 1.6 GB; the default
    distil-large-v3             distil-whisper's; also distil-small.en,
                                -medium.en, -large-v2 and -large-v3.5
    openai/whisper-small        any Whisper on the Hugging Face hub, by its id,
                                Systran/faster-whisper-small among them
    models/mine                 a folder: Hugging Face's layout (safetensors or
                                pytorch_model.bin) or CTranslate2's, as
                                faster-whisper and whisperX have them
    models/mine.pt              a file of OpenAI's or of whisper.cpp (ggml: f32,
                                f16, q8_0, q5_0, q5_1, q4_0, q4_1)

A model is fetched once, into the Hugging Face cache (or --model-dir), after its size and place
have been told. "whisperbatch fetch MODEL" does it ahead of an offline run, and "whisperbatch
info" lists what is there. HF_HOME names another cache, HF_ENDPOINT another hub.

A model that only openai-whisper's or faster-whisper's cache has is used from there, and a line
says so. What a checkpoint lacks (a tokenizer, alignment heads) is what OpenAI published for its
size; a line says which. Weights in 8, 5 or 4 bits are dequantised: they save disk, not memory.

Code that comes with a model is never run: pickles are opened for their tensors alone. turbo, the
distil and .en models and demo were not trained to translate.

On a CPU, --model small or base and --beam-size 1 are faster than turbo.
"""

OPTIONS = ("--model", "--model-dir", "--offline", "--task", "--compute-type")

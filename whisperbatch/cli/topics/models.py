"""Which models there are, where they come from and where they lie.

    demo                        comes with whisperbatch: a real Whisper, but a
                                very small one, trained on a few hundred words
                                of synthetic English and German speech
    tiny, base, small, medium   OpenAI's, from fast to good; tiny.en, base.en,
    large-v1, -v2, -v3          small.en and medium.en hear English only
    turbo                       OpenAI's large-v3-turbo, 1.6 GB; the default
    openai/whisper-small        any Whisper on the Hugging Face hub, by its id
    models/mine                 a folder in Hugging Face's layout

A model is fetched once, into the Hugging Face cache (or --model-dir), after its size and place
have been told. "whisperbatch fetch MODEL" does it ahead of an offline run, and "whisperbatch
info" lists what is there. HF_HOME names another cache, HF_ENDPOINT another hub.

Only safetensors are opened, and code that comes with a model is never run. turbo, the .en models
and demo were not trained to translate.

On a CPU, --model small or base and --beam-size 1 are faster than turbo.
"""

OPTIONS = ("--model", "--model-dir", "--offline", "--task", "--compute-type")

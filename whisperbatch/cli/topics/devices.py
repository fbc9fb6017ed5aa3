"""Where a model runs, and in which number type.

auto takes CUDA if torch has it, then MPS, else the CPU. "whisperbatch info" lists the devices
that torch sees, and says what is wrong if there is a GPU that it does not see. A CPU needs no
CUDA libraries: installing torch for CPUs first, as PyTorch's site explains, saves some gigabytes.

--device cuda:0,cuda:1, or all, runs one process for each device of the machine; cpu:2 runs two
processes that share the cores. With --batch-size auto a single process does the same for small
models: it runs several engines side by side. Files go to whichever process has room, longest
first. A process that dies is replaced, and its files are transcribed again; a file on which two
processes die fails.

--backend ray does the same on a Ray cluster whose nodes see the recordings at the same paths; it
needs Ray ("pip install '.[ray]'" in a clone of whisperbatch). --ray-address auto is the cluster
that this machine belongs to; without it, a cluster of one machine is started here. There is one
actor for each GPU, or for each node if there are no GPUs; --actors and --cpus-per-actor change
that.

CPUs with AVX512-BF16 or AMX compute in bfloat16. On one with AVX512-BF16, float32 takes OpenAI's
base 2.4 times as long, and gets 17.1 % of words wrong instead of 17.3 %. OMP_NUM_THREADS limits
the model's threads.

--compute-type int8 stores the cross-attention cache in 8 bits: each step of the decoder reads all
of it, so a half or a quarter of the bytes makes steps faster. On a CPU that can multiply bytes
(AVX512-VNNI, AVX-VNNI) but not bfloat16, the weights are in 8 bits too, as in faster-whisper;
there it helps most. int8 means int8_bfloat16 or int8_float32 on a CPU, whichever fits, and
int8_float16 on CUDA, where it saves memory and hardly any time. With OpenAI's base, int8_bfloat16
gave float32's text for 144 of 181 recordings, plain bfloat16 for 151, with as many wrong words;
int8_float32 has been tried on 12 short recordings, and gave float32's text for 10.
"""

OPTIONS = (
    *("--device", "--compute-type", "--batch-size", "--load-workers"),
    *("--backend", "--ray-address", "--actors", "--cpus-per-actor"),
)

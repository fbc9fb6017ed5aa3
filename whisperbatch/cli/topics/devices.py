"""Where a model runs, and in which numbers.

auto takes CUDA where torch has it, then MPS, else the CPU. "whisperbatch info" lists the devices
that torch sees, and says what is wrong when there is a GPU that it does not see. A CPU needs no
CUDA libraries: install torch for CPUs first, as PyTorch's own site tells, to save some gigabytes.

--device cuda:0,cuda:1, or all, runs a process a device on one machine; cpu:2 shares the cores
between two. With --batch-size auto one process does likewise for small models: it runs several
engines side by side. Files go to whoever has room, longest first. A process that dies is
replaced, and what it had is done again; a file on which two die is failed.

--backend ray does the same on a Ray cluster whose nodes see the recordings at the same paths; it
needs Ray ("pip install '.[ray]'" in a clone of whisperbatch). --ray-address auto is the cluster that
this machine is a node of; without it a cluster of one is started here. There is an actor a GPU, or
one a node where there are none; --actors and --cpus-per-actor say otherwise.

CPUs with AVX512-BF16 or AMX compute in bfloat16. On one with AVX512-BF16, float32 takes OpenAI's
base 2.4 times as long, and gets 17.1 % of words wrong in place of 17.3 %. OMP_NUM_THREADS limits
the model's threads.

--compute-type int8 keeps what the decoder hears of a recording in 8 bits: a step reads all of it,
so that half or a quarter of the bytes makes it faster. On a CPU without bfloat16 that multiplies
bytes (AVX512-VNNI, AVX-VNNI) the weights are in 8 bits too, as faster-whisper has them: there it
counts most. It means int8_bfloat16 or int8_float32 on a CPU, whichever fits, and int8_float16 on
CUDA, where it saves memory and hardly any time. With OpenAI's base, int8_bfloat16 gave float32's
text for 144 of 181 recordings, plain bfloat16 for 151, with as many wrong words; int8_float32 has
been tried on 12 short recordings, and gave float32's text for 10.
"""

OPTIONS = (
    *("--device", "--compute-type", "--batch-size", "--load-workers"),
    *("--backend", "--ray-address", "--actors", "--cpus-per-actor"),
)

"""Where a model runs, and in which numbers.

auto takes CUDA where torch has it, then MPS, else the CPU. "whisperbatch info" lists the devices
that torch sees, and says what is wrong when there is a GPU that it does not see. A CPU needs no
CUDA libraries: install torch for CPUs first to save some gigabytes,

    pip install torch --index-url https://download.pytorch.org/whl/cpu

--device cuda:0,cuda:1, or all, runs a process a device on one machine; cpu:2 shares the cores
between two. --backend ray does the same on the machines of a Ray cluster, which see the same
folders; it needs "pip install 'whisperbatch[ray]'".

CPUs with AVX512-BF16 or AMX compute in bfloat16, which is about 1.2 times as fast as float32
there. OMP_NUM_THREADS limits the model's threads.
"""

OPTIONS = (
    *("--device", "--compute-type", "--batch-size", "--load-workers"),
    *("--backend", "--ray-address", "--actors", "--cpus-per-actor"),
)

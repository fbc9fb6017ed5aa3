"""Hand-written kernels, each checked against torch before it is trusted; torch does the same without them.

On a CPU, compiled for the machine when the engine starts: llvm_ir (how a kernel is written and compiled),
cpu_encoder_attention, cpu_self_attention (the decoder's, with beams), cpu_cross_attention. On CUDA: cuda (whether this
machine runs them, and the entry points), triton_kernels.
"""

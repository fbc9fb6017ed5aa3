"""Hand-written kernels for CPU and CUDA; where one cannot be used, torch's own operations replace it.

For CPUs, compiled for the machine when the engine starts: llvm_ir (builds and compiles LLVM IR), cpu_encoder_attention,
cpu_tile_attention (the same with AMX), cpu_self_attention (the decoder's, with beams), cpu_cross_attention, cpu_logits
(maxima and sums over the vocabulary). For CUDA: cuda (checks the kernels against torch before they are used),
triton_kernels.
"""

"""Fused l1 and l2 attention on CUDA, in Triton, which is imported on first use.

Tested on Triton's interpreter and compiled for sm_90 without spills; not yet run on a GPU.
"""

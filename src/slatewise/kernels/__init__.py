"""Compiled kernels: arrays in, arrays out; nothing is checked and the GIL is released."""

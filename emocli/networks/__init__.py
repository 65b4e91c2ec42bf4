"""Torch modules: tensors in, tensors out; no files, no printing."""

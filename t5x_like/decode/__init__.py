"""Generating text: sampling.py (logits to a token), generate.py (the cached loop)."""

"""Qwen (Bai et al. 2023, arXiv:2309.16609) and Qwen2 (arXiv:2407.10671).

LLaMA with biases on queries, keys and values. What Qwen does at inference beyond 2,048
tokens (NTK-aware angles, scaled queries, windows) is not here.
"""

from models.components.model import Decoder
from models.components.spec import replace
from models.families.llama import llama


def qwen(
  *,
  layers: int,
  vocab: int = 151_936,
  eps: float = 1e-6,
  rope_base: float = 1e6,
  **sizes,
) -> Decoder:
  """rope_base is 10,000 in the first Qwen; kv_heads < heads and a tied head at the
  smaller sizes come with Qwen2."""
  model = llama(layers=layers, vocab=vocab, eps=eps, rope_base=rope_base, **sizes)
  block = model.decoder.blocks[0]
  attention = replace(block.attention, bias=("query", "key", "value"))
  block = replace(block, attention=attention)
  return replace(model, decoder=replace(model.decoder, blocks=layers * (block,)))

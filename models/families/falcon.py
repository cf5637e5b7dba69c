"""Falcon (Almazrouei et al. 2023, arXiv:2311.16867): parallel blocks, few key heads.

No biases but those of norms, rotary positions, exact GELU, a tied head.
"""

from models.components.attention import Attention
from models.components.embed import Embed, Head
from models.components.ffn import FFN
from models.components.model import Decoder
from models.components.norm import LayerNorm
from models.components.param import InitRule, Normal
from models.components.position import Rope
from models.components.residual import ParallelBlock, TwoNormParallelBlock
from models.components.spec import replace
from models.components.stack import Stack


def falcon(
  *,
  dim: int,
  heads: int,
  layers: int,
  kv_heads: int = 1,
  rope_base: float = 10_000.0,
  vocab: int = 65_024,
  dropout: float = 0.0,
) -> Decoder:
  """The 7B: one norm for attention and feed-forward layer, one head of keys."""
  attention = Attention(
    heads=heads,
    kv_heads=kv_heads,
    head_dim=dim // heads,
    position=Rope(base=rope_base),
  )
  ffn = FFN(hidden=4 * dim, act="gelu")
  block = ParallelBlock(norm=LayerNorm(), attention=attention, ffn=ffn)
  return Decoder(
    vocab=vocab,
    dim=dim,
    dropout=dropout,
    embed=Embed(std=0.02),
    head=Head(tied=True),
    decoder=Stack(blocks=layers * (block,), final_norm=LayerNorm()),
    init=(InitRule(pattern=r".*/kernel", init=Normal(std=0.02)),),
  )


def falcon_two_norms(*, layers: int, kv_heads: int = 8, **sizes) -> Decoder:
  """The 40B and the 180B: a norm for each, and groups of queries."""
  model = falcon(layers=layers, kv_heads=kv_heads, **sizes)
  one = model.decoder.blocks[0]
  block = TwoNormParallelBlock(norm=one.norm, attention=one.attention, ffn=one.ffn)
  return replace(model, decoder=replace(model.decoder, blocks=layers * (block,)))

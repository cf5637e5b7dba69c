"""Falcon (Almazrouei et al. 2023, arXiv:2311.16867): parallel blocks, few key heads.

No biases but those of norms, rotary positions, exact GELU, a tied head.
"""

from models.components.attention import Attention
from models.components.block import Block
from models.components.embed import Embed, Head
from models.components.ffn import FFN
from models.components.model import Decoder
from models.components.norm import LayerNorm
from models.components.param import InitRule, Normal
from models.components.position import Rope
from models.components.residual import ParallelBlock, TwoNormParallelBlock
from models.components.stack import Stack


def falcon(*, dim: int, heads: int, kv_heads: int = 1, **sizes) -> Decoder:
  """The 7B: one norm for attention and feed-forward layer, one head of keys."""
  return _decoder(ParallelBlock, dim, heads, kv_heads, **sizes)


def falcon_two_norms(*, dim: int, heads: int, kv_heads: int = 8, **sizes) -> Decoder:
  """The 40B and the 180B: a norm for each, and groups of queries."""
  return _decoder(TwoNormParallelBlock, dim, heads, kv_heads, **sizes)


def _decoder(
  kind: type[Block],
  dim: int,
  heads: int,
  kv_heads: int,
  *,
  layers: int,
  rope_base: float = 10_000.0,
  vocab: int = 65_024,
  dropout: float = 0.0,
) -> Decoder:
  attention = Attention(
    heads=heads,
    kv_heads=kv_heads,
    head_dim=dim // heads,
    position=Rope(base=rope_base),
  )
  ffn = FFN(hidden=4 * dim, act="gelu")
  block = kind(norm=LayerNorm(), attention=attention, ffn=ffn)
  return Decoder(
    vocab=vocab,
    dim=dim,
    dropout=dropout,
    embed=Embed(std=0.02),
    head=Head(tied=True),
    decoder=Stack(blocks=layers * (block,), final_norm=LayerNorm()),
    init=(InitRule(pattern=r".*/kernel", init=Normal(std=0.02)),),
  )

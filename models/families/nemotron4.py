"""Nemotron-4 (15B, arXiv:2402.16819; 340B, arXiv:2406.11704): squared ReLU, no gate.

LayerNorm that stores its factor minus one, half of each head rotated, groups of queries,
no biases but those of norms, an untied head.
"""

from models.components.attention import Attention
from models.components.block import Block
from models.components.embed import Embed, Head
from models.components.ffn import FFN
from models.components.model import Decoder
from models.components.norm import LayerNorm1P
from models.components.param import InitRule, Normal
from models.components.position import PartialRope, Rope
from models.components.stack import Stack


def nemotron4(
  *,
  dim: int,
  hidden: int,
  heads: int,
  kv_heads: int,
  layers: int,
  head_dim: int | None = None,
  rotary_dim: int | None = None,
  rope_base: float = 10_000.0,
  vocab: int = 256_000,
  std: float = 0.0134,
  dropout: float = 0.0,
) -> Decoder:
  """rotary_dim: dimensions of a head that are rotated, half of them if not given. std: of
  every kernel and table; 0.0134 is the released class's."""
  head_dim = head_dim or dim // heads
  attention = Attention(
    heads=heads,
    kv_heads=kv_heads,
    head_dim=head_dim,
    position=PartialRope(dims=rotary_dim or head_dim // 2, rope=Rope(base=rope_base)),
  )
  ffn = FFN(hidden=hidden, act="relu_squared")
  block = Block(norm=LayerNorm1P(), attention=attention, ffn=ffn)
  return Decoder(
    vocab=vocab,
    dim=dim,
    dropout=dropout,
    embed=Embed(std=std),
    head=Head(std=std),
    decoder=Stack(blocks=layers * (block,), final_norm=LayerNorm1P()),
    init=(InitRule(pattern=r"decoder/.*/kernel", init=Normal(std=std)),),
  )

"""Gemma (Gemma Team 2024, arXiv:2403.08295), and Gemini 1 as far as it is known.

LLaMA's order with GeGLU, norms that store their factor minus one, heads of 256, and a
tied table whose vectors are scaled by sqrt(dim).

Gemini 1 (arXiv:2312.11805) publishes multi-query attention, 32,768 tokens of context and
the sizes of Nano alone. Gemma says that it is built on it, so its rows in the zoo are
Gemma with one head of keys, and their shapes are ours.
"""

from models.components.attention import Attention
from models.components.block import Block
from models.components.embed import Embed, Head
from models.components.ffn import GatedFFN
from models.components.model import Decoder
from models.components.norm import RMSNorm1P
from models.components.param import InitRule, Normal
from models.components.position import Rope
from models.components.stack import Stack


def gemma(
  *,
  dim: int,
  hidden: int,
  heads: int,
  kv_heads: int,
  layers: int,
  head_dim: int = 256,
  rope_base: float = 10_000.0,
  vocab: int = 256_000,
  eps: float = 1e-6,
  dropout: float = 0.0,
) -> Decoder:
  """hidden: of the feed-forward layer's gate; the report's table counts gate and up
  together. Everything starts at N(0, 0.02^2), as in the released class."""
  norm = RMSNorm1P(eps=eps)
  attention = Attention(
    heads=heads, kv_heads=kv_heads, head_dim=head_dim, position=Rope(base=rope_base)
  )
  ffn = GatedFFN(hidden=hidden, act="gelu_tanh")
  block = Block(norm=norm, attention=attention, ffn=ffn)
  return Decoder(
    vocab=vocab,
    dim=dim,
    dropout=dropout,
    embed=Embed(std=0.02, scale=dim**0.5),
    head=Head(tied=True),
    decoder=Stack(blocks=layers * (block,), final_norm=norm),
    init=(InitRule(pattern=r".*/kernel", init=Normal(std=0.02)),),
  )

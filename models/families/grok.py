"""Grok-1 (xAI 2024, released model code): eight gated experts, norms on both sides."""

from models.components.attention import Attention
from models.components.embed import Embed, Head
from models.components.ffn import GatedFFN
from models.components.model import Decoder
from models.components.moe import MoE
from models.components.norm import RMSNorm
from models.components.position import Rope
from models.components.residual import SandwichBlock
from models.components.routers import SoftmaxTopK
from models.components.stack import Stack
from models.components.yarn import Yarn


def grok1(
  *,
  dim: int,
  hidden: int,
  heads: int,
  kv_heads: int,
  layers: int,
  head_dim: int = 128,
  experts: int = 8,
  vocab: int = 131_072,
  context: Yarn | None = None,
  balance: float = 0.001,
  dropout: float = 0.0,
) -> Decoder:
  """Two experts a token, by their softmax over all. context: how positions stretch
  beyond the 8192 of training. How it was trained is not known: initial values, and
  balance, the weight of the balance loss, are ours."""
  norm = RMSNorm(eps=1e-5)
  attention = Attention(
    heads=heads,
    kv_heads=kv_heads,
    head_dim=head_dim,
    position=Rope(scaling=context),
    scale=context and head_dim**-0.5 * context.sharpness,
    softcap=30.0,
  )
  expert = GatedFFN(hidden=hidden, act="gelu_tanh")
  moe = MoE(experts=experts, expert=expert, router=SoftmaxTopK(k=2, balance=balance))
  block = SandwichBlock(norm=norm, attention=attention, ffn=moe)
  return Decoder(
    vocab=vocab,
    dim=dim,
    dropout=dropout,
    embed=Embed(std=dim**-0.5, scale=dim**0.5),
    head=Head(tied=True, scale=3**-0.5),
    decoder=Stack(blocks=layers * (block,), final_norm=norm),
  )

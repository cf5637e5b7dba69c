"""The LLaMA line: RMSNorm, rotary positions, SwiGLU, no biases, untied head.

LLaMA (Touvron et al. 2023, arXiv:2302.13971), LLaMA 2 (arXiv:2307.09288), LLaMA 3 and
3.1 (arXiv:2407.21783), 3.2 (released configurations: tied head).
"""

from models.components.attention import Attention
from models.components.block import Block
from models.components.embed import Embed, Head
from models.components.ffn import GatedFFN
from models.components.model import Decoder
from models.components.norm import RMSNorm
from models.components.param import InitRule, Normal
from models.components.position import Llama3Scaling, Rope
from models.components.stack import Stack


def llama(
  *,
  dim: int,
  hidden: int,
  heads: int,
  layers: int,
  kv_heads: int | None = None,
  head_dim: int | None = None,
  vocab: int = 32_000,
  eps: float = 1e-5,
  rope_base: float = 10_000.0,
  rope_scaling: Llama3Scaling | None = None,
  tied: bool = False,
  dropout: float = 0.0,
) -> Decoder:
  """LLaMA 1 has eps=1e-6; kv_heads < heads from LLaMA 2 70B on; rope_base 5e5 in 3."""
  norm = RMSNorm(eps=eps)
  attention = Attention(
    heads=heads,
    kv_heads=kv_heads,
    head_dim=head_dim or dim // heads,
    position=Rope(base=rope_base, scaling=rope_scaling),
  )
  block = Block(norm=norm, attention=attention, ffn=GatedFFN(hidden=hidden))
  return Decoder(
    vocab=vocab,
    dim=dim,
    dropout=dropout,
    embed=Embed(std=0.02),
    head=Head(tied=tied, std=0.02),
    decoder=Stack(blocks=layers * (block,), final_norm=norm),
    init=(InitRule(pattern=r".*/kernel", init=Normal(std=0.02)),),
  )

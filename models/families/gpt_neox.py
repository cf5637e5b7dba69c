"""GPT-NeoX-20B (Black et al. 2022, arXiv:2204.06745) and Pythia (arXiv:2304.01373).

Attention and feed-forward layer side by side, each behind a norm of its own; a quarter
of each head is rotated; biases; an untied head.
"""

from models.components.attention import Attention
from models.components.embed import Embed, Head
from models.components.ffn import FFN
from models.components.model import Decoder
from models.components.norm import LayerNorm
from models.components.param import InitRule, Normal
from models.components.position import PartialRope, Rope
from models.components.residual import TwoNormParallelBlock
from models.components.stack import Stack


def gpt_neox(
  *,
  dim: int,
  heads: int,
  layers: int,
  rotary_dim: int | None = None,
  rope_base: float = 10_000.0,
  act: str = "gelu_tanh",
  vocab: int = 50_432,
  dropout: float = 0.0,
) -> Decoder:
  """rotary_dim: dimensions of a head that are rotated, a quarter if not given. act:
  "gelu", the exact one, in Pythia. Kernels start as in section 2.1.3 of the paper."""
  head_dim = dim // heads
  position = PartialRope(dims=rotary_dim or head_dim // 4, rope=Rope(base=rope_base))
  block = TwoNormParallelBlock(
    norm=LayerNorm(),
    attention=Attention(heads=heads, head_dim=head_dim, position=position, bias=True),
    ffn=FFN(hidden=4 * dim, act=act, bias=True),
  )
  small, output = (2 / (5 * dim)) ** 0.5, 2 / (layers * dim**0.5)
  return Decoder(
    vocab=vocab,
    dim=dim,
    dropout=dropout,
    embed=Embed(std=small),
    head=Head(std=small),
    decoder=Stack(blocks=layers * (block,), final_norm=LayerNorm()),
    init=(
      InitRule(pattern=r".*/(out|down)/kernel", init=Normal(std=output)),
      InitRule(pattern=r"decoder/.*/kernel", init=Normal(std=small)),
    ),
  )

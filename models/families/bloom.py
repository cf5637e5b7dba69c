"""BLOOM (BigScience 2022, arXiv:2211.05100): ALiBi, and a norm after the embedding.

BloombergGPT (arXiv:2303.17564) and XuanYuan 2.0 (arXiv:2305.12002) are of this shape.
"""

from models.components.attention import Attention
from models.components.bias import ALiBi
from models.components.block import Block
from models.components.embed import Embed, Head
from models.components.ffn import FFN
from models.components.model import Decoder
from models.components.norm import LayerNorm
from models.components.param import InitRule, Normal
from models.components.stack import Stack


def bloom(
  *,
  dim: int,
  heads: int,
  layers: int,
  vocab: int = 250_880,
  dropout: float = 0.0,
) -> Decoder:
  """Kernels start at N(0, 1 / (3 dim)), those that end a residual branch smaller by
  sqrt(2 layers), as BloombergGPT states for itself."""
  std = (3 * dim) ** -0.5
  block = Block(
    norm=LayerNorm(),
    attention=Attention(heads=heads, head_dim=dim // heads, bias=True),
    ffn=FFN(hidden=4 * dim, act="gelu_tanh", bias=True),
  )
  return Decoder(
    vocab=vocab,
    dim=dim,
    dropout=dropout,
    embed=Embed(std=std, norm=LayerNorm()),
    head=Head(tied=True),
    decoder=Stack(blocks=layers * (block,), final_norm=LayerNorm(), position=ALiBi()),
    init=(
      InitRule(
        pattern=r".*/(out|down)/kernel", init=Normal(std=std * (2 * layers) ** -0.5)
      ),
      InitRule(pattern=r".*/kernel", init=Normal(std=std)),
    ),
  )

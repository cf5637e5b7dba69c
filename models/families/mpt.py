"""MPT (MosaicML 2023, released models): ALiBi, no biases anywhere, norms included."""

from models.components.attention import Attention
from models.components.bias import ALiBi
from models.components.block import Block
from models.components.embed import Embed, Head
from models.components.ffn import FFN
from models.components.model import Decoder
from models.components.norm import LayerNorm
from models.components.param import FanIn, InitRule
from models.components.stack import Stack


def mpt(
  *,
  dim: int,
  heads: int,
  layers: int,
  vocab: int = 50_432,
  max_bias: float = 8.0,
  dropout: float = 0.0,
) -> Decoder:
  """Kernels start at N(0, 2 / fan-in) (`init_config` of the released models), those that
  end a residual branch smaller by sqrt(2 layers). max_bias: of `ALiBi`."""
  norm = LayerNorm(bias=False)
  block = Block(
    norm=norm,
    attention=Attention(heads=heads, head_dim=dim // heads),
    ffn=FFN(hidden=4 * dim, act="gelu"),
  )
  position = ALiBi(max_bias=max_bias)
  return Decoder(
    vocab=vocab,
    dim=dim,
    dropout=dropout,
    embed=Embed(std=(2 / dim) ** 0.5),
    head=Head(tied=True),
    decoder=Stack(blocks=layers * (block,), final_norm=norm, position=position),
    init=(
      InitRule(pattern=r".*/out/kernel", init=FanIn(inputs=2, scale=1 / layers)),
      InitRule(pattern=r".*/down/kernel", init=FanIn(scale=1 / layers)),
      InitRule(pattern=r".*/kernel", init=FanIn(scale=2.0)),
    ),
  )

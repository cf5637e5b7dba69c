"""Sparse Transformer (Child et al. 2019, arXiv:1904.10509): two patterns in one mask."""

from models.components.attention import Attention
from models.components.block import Block
from models.components.embed import Embed, Head
from models.components.ffn import FFN
from models.components.grid import Grid
from models.components.mask import FixedBlocks, Strided
from models.components.model import Decoder
from models.components.norm import LayerNorm
from models.components.param import FanIn, InitRule
from models.components.stack import Stack


def sparse_transformer(
  *,
  dim: int,
  heads: int,
  layers: int,
  shape: tuple[int, ...],
  mask: FixedBlocks | Strided,
  vocab: int = 256,
  dropout: float = 0.0,
) -> Decoder:
  """mask: both patterns of a head merged (section 4.3): `FixedBlocks` for text,
  `Strided` for images and sound. shape: rows and columns of the positions (`Grid`).

  Initial values as in section 6: 0.125 / sqrt(fan-in), kernels that end a residual
  branch smaller by sqrt(2 layers), the head 0.
  """
  small = 0.125**2
  attention = Attention(heads=heads, head_dim=dim // heads, mask=mask, bias=True)
  ffn = FFN(hidden=4 * dim, act="gelu_sigmoid", bias=True)
  block = Block(norm=LayerNorm(), attention=attention, ffn=ffn)
  ends = small / (2 * layers)
  std = 0.125 * dim**-0.5
  return Decoder(
    vocab=vocab,
    dim=dim,
    dropout=dropout,
    embed=Embed(std=std, position=Grid(shape=shape, std=std * len(shape) ** -0.5)),
    head=Head(std=0.0),
    decoder=Stack(blocks=layers * (block,), final_norm=LayerNorm()),
    init=(
      InitRule(pattern=r".*/out/kernel", init=FanIn(inputs=2, scale=ends)),
      InitRule(pattern=r".*/down/kernel", init=FanIn(scale=ends)),
      InitRule(pattern=r"decoder/.*/kernel", init=FanIn(scale=small)),
    ),
  )

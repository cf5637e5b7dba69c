"""Sparse Transformer (Child et al. 2019, arXiv:1904.10509): two sparse patterns."""

import itertools

from models.components.attention import Attention
from models.components.block import Block
from models.components.embed import Embed, Head
from models.components.ffn import FFN
from models.components.grid import Grid
from models.components.mask import Causal
from models.components.model import Decoder
from models.components.norm import LayerNorm
from models.components.param import FanIn, InitRule
from models.components.spec import replace
from models.components.stack import Stack


def sparse_transformer(
  *,
  dim: int,
  heads: int,
  layers: int,
  shape: tuple[int, ...],
  masks: tuple[Causal, ...],
  vocab: int = 256,
  dropout: float = 0.0,
) -> Decoder:
  """masks: of the layers in turn (section 5.1). One alone merges both patterns of a
  head: `FixedBlocks` for text, `Strided` for images and sound; `Windowed` and `Columns`
  take turns. shape: rows and columns of the positions (`Grid`).

  Initial values as in section 6: 0.125 / sqrt(fan-in), kernels that end a residual
  branch smaller by sqrt(2 layers), the head 0.
  """
  small = 0.125**2
  ffn = FFN(hidden=4 * dim, act="gelu_sigmoid", bias=True)
  plain = Attention(heads=heads, head_dim=dim // heads, bias=True)
  turns = [
    Block(norm=LayerNorm(), attention=replace(plain, mask=mask), ffn=ffn)
    for mask in masks
  ]
  blocks = tuple(itertools.islice(itertools.cycle(turns), layers))
  ends = small / (2 * layers)
  std = 0.125 * dim**-0.5
  return Decoder(
    vocab=vocab,
    dim=dim,
    dropout=dropout,
    embed=Embed(std=std, position=Grid(shape=shape, std=std * len(shape) ** -0.5)),
    head=Head(std=0.0),
    decoder=Stack(blocks=blocks, final_norm=LayerNorm()),
    init=(
      InitRule(pattern=r".*/out/kernel", init=FanIn(inputs=2, scale=ends)),
      InitRule(pattern=r".*/down/kernel", init=FanIn(scale=ends)),
      InitRule(pattern=r"decoder/.*/kernel", init=FanIn(scale=small)),
    ),
  )

"""Galactica (Taylor et al. 2022, arXiv:2211.09085): OPT with GELU and without biases.

The released models' norms have no parameters either.
"""

from models.components.attention import Attention
from models.components.block import Block
from models.components.embed import Embed, Head
from models.components.ffn import FFN
from models.components.model import Decoder
from models.components.norm import PlainLayerNorm
from models.components.param import InitRule, Normal
from models.components.position import Learned
from models.components.stack import Stack
from models.families.opt import STD, UNREAD


def galactica(
  *,
  dim: int,
  heads: int,
  layers: int,
  length: int = 2048,
  vocab: int = 50_000,
  dropout: float = 0.0,
) -> Decoder:
  """The paper names no initial values; these are OPT's."""
  block = Block(
    norm=PlainLayerNorm(),
    attention=Attention(heads=heads, head_dim=dim // heads),
    ffn=FFN(hidden=4 * dim, act="gelu"),
  )
  residual = Normal(std=STD * (2 * layers) ** -0.5)
  position = Learned(length=length + UNREAD, std=STD, offset=UNREAD)
  return Decoder(
    vocab=vocab,
    dim=dim,
    dropout=dropout,
    embed=Embed(std=STD, position=position),
    head=Head(tied=True),
    decoder=Stack(blocks=layers * (block,), final_norm=PlainLayerNorm()),
    init=(
      InitRule(pattern=r".*/(out|down)/kernel", init=residual),
      InitRule(pattern=r".*/kernel", init=Normal(std=STD)),
    ),
  )

"""OPT (Zhang et al. 2022, arXiv:2205.01068): GPT-3's shape, dense, with ReLU."""

from models.components.attention import Attention
from models.components.block import Block
from models.components.embed import Embed, Head
from models.components.factored import FactoredEmbed, Projection
from models.components.ffn import FFN
from models.components.model import Decoder
from models.components.norm import LayerNorm
from models.components.param import InitRule, Normal
from models.components.position import Learned
from models.components.residual import PostBlock
from models.components.stack import Stack

STD = 0.006  # section 2.2
UNREAD = 2  # rows of the position table before the first token's


def opt(
  *,
  dim: int,
  heads: int,
  layers: int,
  length: int = 2048,
  vocab: int = 50_272,
  act: str = "relu",
  dropout: float = 0.0,
) -> Decoder:
  """length: tokens of a row. act: GELU in files of Galactica that keep zeros for its
  biases. Kernels that end a residual branch start smaller by sqrt(2 layers) (2.2)."""
  block = Block(**_parts(dim, heads, act))
  return Decoder(
    vocab=vocab,
    dim=dim,
    dropout=dropout,
    embed=Embed(std=STD, position=_positions(length)),
    head=Head(tied=True),
    decoder=Stack(blocks=layers * (block,), final_norm=LayerNorm()),
    init=_init(layers),
  )


def opt_post_norm(
  *,
  dim: int,
  width: int,
  heads: int,
  layers: int,
  length: int = 2048,
  vocab: int = 50_272,
  dropout: float = 0.0,
) -> Decoder:
  """The 350M model, as released: norms after the addition, none at the end, and a token
  table of `width` features."""
  block = PostBlock(**_parts(dim, heads, "relu"))
  return Decoder(
    vocab=vocab,
    dim=dim,
    dropout=dropout,
    embed=FactoredEmbed(std=STD, position=_positions(length), width=width),
    head=Head(tied=True, transform=Projection(width=width)),
    decoder=Stack(blocks=layers * (block,)),
    init=_init(layers),
  )


def _parts(dim: int, heads: int, act: str) -> dict:
  return dict(
    norm=LayerNorm(),
    attention=Attention(heads=heads, head_dim=dim // heads, bias=True),
    ffn=FFN(hidden=4 * dim, act=act, bias=True),
  )


def _positions(length: int) -> Learned:
  return Learned(length=length + UNREAD, std=STD, offset=UNREAD)


def _init(layers: int) -> tuple[InitRule, ...]:
  residual = Normal(std=STD * (2 * layers) ** -0.5)
  return (
    InitRule(pattern=r".*/(out|down)/kernel", init=residual),
    InitRule(pattern=r".*/kernel", init=Normal(std=STD)),
  )

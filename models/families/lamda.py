"""LaMDA (Thoppilan et al. 2022, arXiv:2201.08239): a decoder with T5's positions."""

from models.components.attention import Attention
from models.components.block import Block
from models.components.embed import Embed, Head
from models.components.ffn import GatedFFN
from models.components.model import Decoder
from models.components.norm import RMSNorm
from models.components.position import RelativeBias
from models.components.stack import Stack


def lamda(
  *,
  dim: int,
  layers: int,
  head_dim: int = 128,
  vocab: int = 32_000,
  dropout: float = 0.0,
) -> Decoder:
  """Section 3: gated GELU of 8 dim features, heads as wide as two streams together. Which
  norm it has was not published; T5's is taken."""
  attention = Attention(heads=2 * dim // head_dim, head_dim=head_dim)
  ffn = GatedFFN(hidden=8 * dim, act="gelu_tanh")
  block = Block(norm=RMSNorm(), attention=attention, ffn=ffn)
  return Decoder(
    vocab=vocab,
    dim=dim,
    dropout=dropout,
    embed=Embed(),
    head=Head(tied=True, scale=dim**-0.5),
    decoder=Stack(
      blocks=layers * (block,),
      final_norm=RMSNorm(),
      position=RelativeBias(bidirectional=False),
    ),
  )

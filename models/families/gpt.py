"""GPT (Radford et al. 2018): norms after the addition, none at the end."""

from models.components.attention import Attention
from models.components.embed import Embed, Head
from models.components.ffn import FFN
from models.components.model import Decoder
from models.components.norm import LayerNorm
from models.components.param import InitRule, Normal
from models.components.position import Learned
from models.components.residual import PostBlock
from models.components.stack import Stack


def gpt(
  *,
  dim: int,
  heads: int,
  layers: int,
  length: int = 512,
  vocab: int = 40_478,
  dropout: float = 0.0,
) -> Decoder:
  """Everything starts at N(0, 0.02^2) (section 4.1)."""
  block = PostBlock(
    norm=LayerNorm(),
    attention=Attention(heads=heads, head_dim=dim // heads, bias=True),
    ffn=FFN(hidden=4 * dim, act="gelu_tanh", bias=True),
  )
  return Decoder(
    vocab=vocab,
    dim=dim,
    dropout=dropout,
    embed=Embed(std=0.02, position=Learned(length=length)),
    head=Head(tied=True),
    decoder=Stack(blocks=layers * (block,)),
    init=(InitRule(pattern=r".*/kernel", init=Normal(std=0.02)),),
  )

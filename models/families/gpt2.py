"""GPT-2 (Radford et al. 2019): learned positions, LayerNorm first, biases, tied head."""

from models.components.attention import Attention
from models.components.block import Block
from models.components.embed import Embed, Head
from models.components.ffn import FFN
from models.components.model import Decoder
from models.components.norm import LayerNorm
from models.components.param import InitRule, Normal
from models.components.position import Learned
from models.components.stack import Stack


def gpt2(
  *,
  dim: int,
  heads: int,
  layers: int,
  length: int = 1024,
  vocab: int = 50_257,
  dropout: float = 0.0,
) -> Decoder:
  """Kernels start at N(0, 0.02^2), those that end a residual branch smaller still."""
  attention = Attention(heads=heads, head_dim=dim // heads, bias=True)
  ffn = FFN(hidden=4 * dim, act="gelu_tanh", bias=True)
  block = Block(norm=LayerNorm(), attention=attention, ffn=ffn)
  # Section 2.3 of the paper: residual layers are scaled by 1/sqrt(their number, 2L).
  residual = Normal(std=0.02 * (2 * layers) ** -0.5)
  return Decoder(
    vocab=vocab,
    dim=dim,
    dropout=dropout,
    embed=Embed(std=0.02, position=Learned(length=length, std=0.01)),
    head=Head(tied=True),
    decoder=Stack(blocks=layers * (block,), final_norm=LayerNorm()),
    init=(
      InitRule(pattern=r".*/(out|down)/kernel", init=residual),
      InitRule(pattern=r".*/kernel", init=Normal(std=0.02)),
    ),
  )

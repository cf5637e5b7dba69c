"""GLM-130B (Zeng et al. 2022, arXiv:2210.02414): DeepNorm, rotary positions, gated GELU.

Trained to fill in blanks: gin_configs/objectives/glm_130b.gin.
"""

from models.components.attention import Attention
from models.components.embed import Embed, Head
from models.components.ffn import GatedFFN
from models.components.mask import PrefixCausal
from models.components.model import Decoder
from models.components.norm import LayerNorm
from models.components.param import FanAverage, InitRule
from models.components.position import Rope
from models.components.residual import DeepNormBlock
from models.components.stack import Stack


def glm_130b(
  *,
  dim: int,
  hidden: int,
  heads: int,
  layers: int,
  vocab: int = 150_528,
  dropout: float = 0.0,
) -> Decoder:
  """Section 2.1: alpha = (2 N)^(1/2), and beta = (2 N)^(-1/2) on the initial values of
  feed-forward, value and out kernels. Scores are the same as with its scaling by layer."""
  norm = LayerNorm()
  attention = Attention(
    heads=heads, head_dim=dim // heads, position=Rope(), mask=PrefixCausal(), bias=True
  )
  block = DeepNormBlock(
    alpha=(2 * layers) ** 0.5,
    norm=norm,
    attention=attention,
    ffn=GatedFFN(hidden=hidden, act="gelu", bias=True),
  )
  beta = (2 * layers) ** -0.5
  return Decoder(
    vocab=vocab,
    dim=dim,
    dropout=dropout,
    embed=Embed(std=0.02, norm=norm),
    head=Head(tied=True),
    decoder=Stack(blocks=layers * (block,)),
    init=(
      InitRule(pattern=r".*/out/kernel", init=FanAverage(gain=beta, inputs=2)),
      InitRule(pattern=r".*/(value|gate|up|down)/kernel", init=FanAverage(gain=beta)),
      InitRule(pattern=r".*/kernel", init=FanAverage()),
    ),
  )

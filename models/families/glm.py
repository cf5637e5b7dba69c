"""GLM (Du et al. 2021, arXiv:2103.10360): two positions a token, norms first. GLM-130B
(Zeng et al. 2022, arXiv:2210.02414): DeepNorm, rotary positions, gated GELU.

Trained to fill in blanks: gin_configs/objectives/glm.gin and glm_130b.gin.
"""

from models.components.attention import Attention
from models.components.block import Block
from models.components.block_positions import BlockEmbed
from models.components.embed import Embed, Head
from models.components.ffn import FFN, GatedFFN
from models.components.mask import PrefixCausal
from models.components.model import Decoder
from models.components.norm import LayerNorm
from models.components.param import FanAverage, InitRule, Normal
from models.components.position import Learned, Rope
from models.components.residual import DeepNormBlock
from models.components.stack import Stack


def glm(
  *,
  dim: int,
  heads: int,
  layers: int,
  length: int = 512,
  vocab: int = 30_592,
  dropout: float = 0.0,
) -> Decoder:
  """Section 2.2; GELU by its tanh, initial values and a row more than tokens in both
  tables of positions as in the released code."""
  attention = Attention(
    heads=heads, head_dim=dim // heads, mask=PrefixCausal(), bias=True
  )
  ffn = FFN(hidden=4 * dim, act="gelu_tanh", bias=True)
  block = Block(norm=LayerNorm(), attention=attention, ffn=ffn)
  positions = Learned(length=length + 1)
  residual = Normal(std=0.02 * (2 * layers) ** -0.5)
  return Decoder(
    vocab=vocab,
    dim=dim,
    dropout=dropout,
    embed=BlockEmbed(std=0.02, position=positions, block=positions),
    head=Head(tied=True),
    decoder=Stack(blocks=layers * (block,), final_norm=LayerNorm()),
    init=(
      InitRule(pattern=r".*/(out|down)/kernel", init=residual),
      InitRule(pattern=r".*/kernel", init=Normal(std=0.02)),
    ),
  )


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

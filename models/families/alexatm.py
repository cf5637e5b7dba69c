"""AlexaTM 20B (Soltan et al. 2022, arXiv:2208.01448): norms first, three tables."""

from models.components.attention import Attention, CrossAttention
from models.components.block import Block
from models.components.embed import Embed, Head
from models.components.ffn import FFN
from models.components.mask import Causal, Full
from models.components.norm import LayerNorm
from models.components.param import InitRule, Normal
from models.components.position import Learned
from models.components.spec import replace
from models.components.stack import Stack
from models.components.untied import UntiedEncoderDecoder


def alexatm(
  *,
  dim: int,
  heads: int,
  layers: int,
  decoder_layers: int,
  length: int = 1024,
  vocab: int = 151_000,
  dropout: float = 0.0,
) -> UntiedEncoderDecoder:
  """Section 3.1: a norm first in every layer and one at the end of both sides. Types of
  tokens, rows of position tables that nothing reads and eps as in the released code,
  which has no norm behind the embedding. The vocabulary is "150K" and 1,000 spare ids."""
  sizes = dict(heads=heads, head_dim=dim // heads, bias=True)
  norm = LayerNorm(eps=1e-12)
  encoder = Block(
    norm=norm,
    attention=Attention(mask=Full(), **sizes),
    ffn=FFN(hidden=4 * dim, act="gelu", bias=True),
  )
  decoder = replace(
    encoder,
    attention=Attention(mask=Causal(), **sizes),
    cross=CrossAttention(**sizes),
  )
  positions = Learned(length=length + 2, offset=2)
  return UntiedEncoderDecoder(
    vocab=vocab,
    dim=dim,
    dropout=dropout,
    encoder_embed=Embed(std=0.02, position=Learned(length=length), types=2),
    embed=Embed(std=0.02, position=positions),
    head=Head(std=0.02),
    encoder=Stack(blocks=layers * (encoder,), final_norm=norm),
    decoder=Stack(blocks=decoder_layers * (decoder,), final_norm=norm),
    init=(InitRule(pattern=r".*/kernel", init=Normal(std=0.02)),),
  )

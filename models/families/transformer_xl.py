"""Transformer-XL (Dai et al. 2019, arXiv:1901.02860): norms last, relative attention.

A segment whose memory is the whole past is a step of cached decoding (`decode` with
`index_B` at its first token); a memory of fixed length, and an adaptive softmax, are
not here. u and v belong to each layer, as in XLNet; the released models share them.
"""

from models.components.embed import Embed, Head
from models.components.ffn import FFN
from models.components.model import Decoder
from models.components.norm import LayerNorm
from models.components.param import InitRule, Normal
from models.components.relative_attention import RelativeAttention
from models.components.residual import PostBlock
from models.components.stack import Stack


def transformer_xl(
  *,
  dim: int,
  hidden: int,
  heads: int,
  layers: int,
  vocab: int,
  dropout: float = 0.0,
) -> Decoder:
  """Section 3.3. The released code starts weights at N(0, 0.02^2), scales embeddings by
  dim**0.5 and shares their table with the head, which has a bias."""
  block = PostBlock(
    norm=LayerNorm(),
    attention=RelativeAttention(heads=heads, head_dim=dim // heads),
    ffn=FFN(hidden=hidden, act="relu", bias=True),
  )
  start = Normal(std=0.02)
  return Decoder(
    vocab=vocab,
    dim=dim,
    dropout=dropout,
    embed=Embed(std=0.02, scale=dim**0.5),
    head=Head(tied=True, bias=True),
    decoder=Stack(blocks=layers * (block,)),
    init=(InitRule(pattern=r".*/(kernel|content_bias|distance_bias)", init=start),),
  )

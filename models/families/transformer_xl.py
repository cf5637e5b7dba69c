"""Transformer-XL (Dai et al. 2019, arXiv:1901.02860): norms last, relative attention.

A row is a sequence of segments, computed at once; no gradient flows into a segment's
memory. An adaptive softmax is not here. u and v belong to each layer, as in XLNet; the
released models share them.
"""

from models.components.embed import Embed, Head
from models.components.ffn import FFN
from models.components.mask import SegmentMemory
from models.components.model import Decoder
from models.components.norm import LayerNorm
from models.components.param import InitRule, Normal
from models.components.residual import PostBlock
from models.components.segment_attention import SegmentAttention
from models.components.stack import Stack


def transformer_xl(
  *,
  dim: int,
  hidden: int,
  heads: int,
  layers: int,
  vocab: int,
  segment: int,
  memory: int,
  dropout: float = 0.0,
) -> Decoder:
  """segment, memory: tokens, sections 3.2 and 4.1; a larger memory of the same parameters
  serves evaluation. The released code starts weights at N(0, 0.02^2), scales embeddings by
  dim**0.5 and shares their table with the head, which has a bias."""
  block = PostBlock(
    norm=LayerNorm(),
    attention=SegmentAttention(
      heads=heads,
      head_dim=dim // heads,
      mask=SegmentMemory(segment=segment, memory=memory),
    ),
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

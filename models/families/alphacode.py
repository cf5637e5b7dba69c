"""AlphaCode (Li et al. 2022, arXiv:2203.07814): a shallow encoder under a deep decoder."""

from models.components.attention import Attention, CrossAttention
from models.components.block import Block
from models.components.embed import Embed, Head
from models.components.ffn import FFN
from models.components.mask import Causal, Full
from models.components.model import EncoderDecoder
from models.components.norm import LayerNorm
from models.components.position import RelativeBias
from models.components.spec import replace
from models.components.stack import Stack


def alphacode(
  *,
  dim: int,
  heads: int,
  kv_heads: int,
  encoder_layers: int,
  layers: int,
  head_dim: int = 128,
  vocab: int = 8000,
  dropout: float = 0.0,
) -> EncoderDecoder:
  """Section 4.1: few heads of keys. The width of the feed-forward, norms and positions
  were not published: 6 dim and a head of its own fit all five counts, the rest is T5's
  and GPT's."""
  sizes = dict(heads=heads, kv_heads=kv_heads, head_dim=head_dim)
  encoder = Block(
    norm=LayerNorm(),
    attention=Attention(mask=Full(), **sizes),
    ffn=FFN(hidden=6 * dim, act="gelu"),
  )
  attention = Attention(mask=Causal(), **sizes)
  decoder = replace(encoder, attention=attention, cross=CrossAttention(**sizes))
  return EncoderDecoder(
    vocab=vocab,
    dim=dim,
    dropout=dropout,
    embed=Embed(),
    head=Head(),
    encoder=Stack(
      blocks=encoder_layers * (encoder,),
      final_norm=LayerNorm(),
      position=RelativeBias(bidirectional=True),
    ),
    decoder=Stack(
      blocks=layers * (decoder,),
      final_norm=LayerNorm(),
      position=RelativeBias(bidirectional=False),
    ),
  )

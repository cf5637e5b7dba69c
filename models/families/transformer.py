"""The Transformer (Vaswani et al. 2017, arXiv:1706.03762)."""

from models.components.attention import Attention, CrossAttention
from models.components.embed import Embed, Head
from models.components.ffn import FFN
from models.components.mask import Causal, Full
from models.components.model import EncoderDecoder
from models.components.norm import LayerNorm
from models.components.position import Sinusoidal
from models.components.residual import PostBlock
from models.components.spec import replace
from models.components.stack import Stack


def transformer(
  *,
  dim: int,
  hidden: int,
  heads: int,
  layers: int,
  vocab: int = 37_000,
  dropout: float = 0.0,
) -> EncoderDecoder:
  """Norms after every addition and none at the end; one table for both sides and the
  head, scaled by sqrt(dim) where it is read (section 3.4)."""
  sizes = dict(heads=heads, head_dim=dim // heads)
  encoder = PostBlock(
    norm=LayerNorm(eps=1e-6),
    attention=Attention(mask=Full(), **sizes),
    ffn=FFN(hidden=hidden, bias=True),
  )
  decoder = replace(
    encoder,
    attention=Attention(mask=Causal(), **sizes),
    cross=CrossAttention(**sizes),
  )
  return EncoderDecoder(
    vocab=vocab,
    dim=dim,
    dropout=dropout,
    embed=Embed(std=dim**-0.5, scale=dim**0.5, position=Sinusoidal()),
    head=Head(tied=True),
    encoder=Stack(blocks=layers * (encoder,)),
    decoder=Stack(blocks=layers * (decoder,)),
  )

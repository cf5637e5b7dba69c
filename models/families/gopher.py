"""Gopher (Rae et al. 2021, arXiv:2112.11446) and Chinchilla (Hoffmann et al. 2022,
arXiv:2203.15556): GPT-2's blocks with RMSNorm and Transformer-XL's relative attention."""

from models.components.block import Block
from models.components.embed import Embed, Head
from models.components.ffn import FFN
from models.components.model import Decoder
from models.components.norm import RMSNorm
from models.components.relative_attention import RelativeAttention
from models.components.stack import Stack


def gopher(
  *,
  dim: int,
  heads: int,
  layers: int,
  vocab: int = 32_000,
  dropout: float = 0.0,
) -> Decoder:
  """Section 3.1. That embedding and head share their table and that nothing has a bias
  follows from the published counts."""
  attention = RelativeAttention(heads=heads, head_dim=dim // heads)
  ffn = FFN(hidden=4 * dim, act="gelu_tanh")
  block = Block(norm=RMSNorm(), attention=attention, ffn=ffn)
  return Decoder(
    vocab=vocab,
    dim=dim,
    dropout=dropout,
    embed=Embed(std=0.02),
    head=Head(tied=True),
    decoder=Stack(blocks=layers * (block,), final_norm=RMSNorm()),
  )

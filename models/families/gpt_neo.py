"""GPT-Neo (Black et al. 2021): every other layer sees a window; scores are not scaled."""

import itertools

from models.components.attention import Attention
from models.components.block import Block
from models.components.embed import Embed, Head
from models.components.ffn import FFN
from models.components.mask import Windowed
from models.components.model import Decoder
from models.components.norm import LayerNorm
from models.components.param import InitRule, Normal
from models.components.position import Learned
from models.components.spec import replace
from models.components.stack import Stack


def gpt_neo(
  *,
  dim: int,
  heads: int,
  layers: int,
  window: int = 256,
  length: int = 2048,
  vocab: int = 50_257,
  dropout: float = 0.0,
) -> Decoder:
  """Layers 0, 2, ... see everything before them, 1, 3, ... the last `window` tokens."""
  attention = Attention(heads=heads, head_dim=dim // heads, scale=1.0, bias=("out",))
  local = replace(attention, mask=Windowed(window=window))
  ffn = FFN(hidden=4 * dim, act="gelu_tanh", bias=True)
  turns = [
    Block(norm=LayerNorm(), attention=one, ffn=ffn) for one in (attention, local)
  ]
  blocks = tuple(itertools.islice(itertools.cycle(turns), layers))
  return Decoder(
    vocab=vocab,
    dim=dim,
    dropout=dropout,
    embed=Embed(std=0.02, position=Learned(length=length)),
    head=Head(tied=True),
    decoder=Stack(blocks=blocks, final_norm=LayerNorm()),
    init=(InitRule(pattern=r".*/kernel", init=Normal(std=0.02)),),
  )

"""UL2 20B (Tay et al. 2022, arXiv:2205.05131): T5.1.1 with SwiGLU, wide heads."""

from models.components.embed import Head
from models.components.ffn import GatedFFN
from models.components.model import EncoderDecoder
from models.families.t5 import t5


def ul2(*, hidden: int, **sizes) -> EncoderDecoder:
  """Untied, unscaled head. gin_configs/objectives/ul2.gin has its denoisers."""
  ffn = GatedFFN(hidden=hidden, act="silu")
  return t5(hidden=hidden, ffn=ffn, head=Head(), **sizes)

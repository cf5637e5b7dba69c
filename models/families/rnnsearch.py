"""RNNsearch: attention enters translation (Bahdanau et al. 2014, arXiv:1409.0473)."""

from models.ancestors.additive import AttentiveStack, BidirectionalStack
from models.ancestors.cells import GRU
from models.components.embed import Embed, Head
from models.components.model import EncoderDecoder
from models.components.param import InitRule, Normal


def rnnsearch(
  *,
  dim: int,
  hidden: int,
  alignment: int,
  vocab: int = 30_000,
  dropout: float = 0.0,
) -> EncoderDecoder:
  """Appendix A.2.3: dim 620, hidden and alignment 1000. One token table serves both
  sides, and the maxout layer has `dim` units; the paper's has 500.
  """
  cell = GRU(hidden=hidden)
  return EncoderDecoder(
    vocab=vocab,
    dim=dim,
    dropout=dropout,
    embed=Embed(std=0.01),
    head=Head(bias=True),
    encoder=BidirectionalStack(cell=cell),
    decoder=AttentiveStack(cell=cell, alignment=alignment, annotation=2 * hidden),
    init=(InitRule(pattern=r".*/(ask|answer)/kernel", init=Normal(std=0.001)),),
  )

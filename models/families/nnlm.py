"""NNLM, the neural probabilistic language model (Bengio et al. 2003, JMLR 3, 1137)."""

from models.ancestors.window import WindowStack, WordVectors
from models.components.embed import Head
from models.components.model import Decoder


def nnlm(
  *, order: int, width: int, hidden: int, vocab: int, dropout: float = 0.0
) -> Decoder:
  """order: n of the paper, a word and the n - 1 before it; width: m; hidden: h."""
  window = order - 1
  return Decoder(
    vocab=vocab,
    dim=hidden + window * width,
    dropout=dropout,
    embed=WordVectors(std=1.0, width=width),
    head=Head(bias=True),
    decoder=WindowStack(window=window, width=width, hidden=hidden),
  )

"""LSTM language models (Zaremba et al. 2014, arXiv:1409.2329)."""

from models.ancestors.cells import LSTM
from models.ancestors.recurrent import RecurrentStack
from models.components.embed import Embed, Head
from models.components.model import Decoder
from models.components.param import InitRule, Uniform


def lstm(
  *, dim: int, layers: int, vocab: int = 10_000, bound: float, dropout: float = 0.0
) -> Decoder:
  """Dropout on what flows up, never on what flows through time (section 3.2).

  bound: every parameter starts in U(-bound, bound) (section 4.1).
  """
  return Decoder(
    vocab=vocab,
    dim=dim,
    dropout=dropout,
    embed=Embed(),
    head=Head(bias=True),
    decoder=RecurrentStack(cells=layers * (LSTM(hidden=dim),)),
    init=(InitRule(pattern=".*", init=Uniform(bound=bound)),),
  )

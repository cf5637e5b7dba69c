"""Sequence to sequence with LSTMs (Sutskever et al. 2014, arXiv:1409.3215)."""

from models.ancestors.cells import LSTM
from models.ancestors.handover import LastState, StateEncoder
from models.ancestors.recurrent import RecurrentStack
from models.components.embed import Embed, Head
from models.components.model import EncoderDecoder
from models.components.param import InitRule, Uniform


def seq2seq(
  *, dim: int, layers: int, vocab: int = 80_000, dropout: float = 0.0
) -> EncoderDecoder:
  """Sources are read backwards (section 3.3), nothing has a bias, and weights start in
  U(-0.08, 0.08) (section 3.4). One token table serves both sides; the paper's sources
  have a vocabulary and a table of their own.
  """
  cells = layers * (LSTM(hidden=dim, bias=False),)
  return EncoderDecoder(
    vocab=vocab,
    dim=dim,
    dropout=dropout,
    embed=Embed(),
    head=Head(),
    encoder=StateEncoder(cells=cells, reverse=True),
    decoder=RecurrentStack(cells=cells, start=LastState()),
    init=(InitRule(pattern=".*", init=Uniform(bound=0.08)),),
  )

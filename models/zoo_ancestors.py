"""Zoo: language models from before the Transformer. See zoo.py.

You are in: models. Data, no logic. Counts of n-grams have no architecture and so no row:
models/ancestors/ngram.py.
"""

from __future__ import annotations

from models.families.lstm import lstm
from models.families.nnlm import nnlm
from models.families.rnnsearch import rnnsearch
from models.families.seq2seq import seq2seq
from models.row import ALL, Family

FEED_FORWARD = "feed-forward decoder"
RECURRENT = "recurrent decoder"
RECURRENT_PAIR = "recurrent encoder-decoder"

# The paper gives a formula, V (1 + n m + h) + h (1 + (n - 1) m).
NNLM = Family(
  name="nnlm",
  kind=FEED_FORWARD,
  paper="A Neural Probabilistic Language Model (2003)",
  year=2003,
  build=nnlm,
  counted=ALL,
  sizes={
    "tiny": (None, dict(order=9, width=8, hidden=24, vocab=512)),
    "brown": (4_124_233, dict(order=5, width=30, hidden=100, vocab=16_383)),
  },
)

# Published as 20M and 66M by later papers.
LSTM = Family(
  name="lstm",
  kind=RECURRENT,
  paper="arXiv:1409.2329",
  year=2014,
  build=lstm,
  counted=ALL,
  reference="torch.nn.LSTM",
  sizes={
    "tiny": (None, dict(dim=32, layers=2, bound=0.1, vocab=512)),
    "medium": (None, dict(dim=650, layers=2, bound=0.05)),
    "large": (None, dict(dim=1500, layers=2, bound=0.04)),
  },
)

# Published as 384M with 160,000 x 1000 of a source table, 64M of them recurrent.
SEQ2SEQ = Family(
  name="seq2seq",
  kind=RECURRENT_PAIR,
  paper="arXiv:1409.3215",
  year=2014,
  build=seq2seq,
  counted=ALL,
  reference="torch.nn.LSTM",
  sizes={
    "tiny": (None, dict(dim=32, layers=2, vocab=512)),
    "wmt14": (None, dict(dim=1000, layers=4)),
  },
)

RNNSEARCH = Family(
  name="rnnsearch",
  kind=RECURRENT_PAIR,
  paper="arXiv:1409.0473",
  year=2014,
  build=rnnsearch,
  counted=ALL,
  reference="NumPy, after the paper; torch.nn.GRU",
  sizes={
    "tiny": (None, dict(dim=24, hidden=16, alignment=12, vocab=512)),
    "wmt14": (None, dict(dim=620, hidden=1000, alignment=1000)),
  },
)

ANCESTORS = (NNLM, LSTM, SEQ2SEQ, RNNSEARCH)

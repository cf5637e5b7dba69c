"""Zoo: encoders alone. See zoo.py.

You are in: models. Data, no logic. Published counts are those of the released weights,
with every head they were pre-trained with.
"""

from __future__ import annotations

from models.families.bert import albert, bert, roberta
from models.families.ernie3 import ernie3, ernie3_understanding
from models.row import ALL, CAUSAL_DECODER, ENCODER, TIED, Family

TINY = dict(dim=32, heads=2, layers=2, vocab=2048, length=512)
BASE = dict(dim=768, heads=12, layers=12)
LARGE = dict(dim=1024, heads=16, layers=24)

BERT = Family(
  name="bert",
  kind=ENCODER,
  paper="arXiv:1810.04805",
  year=2018,
  build=bert,
  counted=TIED,
  reference="transformers.BertForPreTraining",
  sizes={
    "tiny": (None, TINY),
    "base": (110_106_428, BASE),
    "large": (336_226_108, LARGE),
  },
)

ROBERTA = Family(
  name="roberta",
  kind=ENCODER,
  paper="arXiv:1907.11692",
  year=2019,
  build=roberta,
  counted=TIED,
  reference="transformers.RobertaForMaskedLM",
  sizes={
    "tiny": (None, TINY),
    "base": (124_697_433, BASE),
    "large": (355_412_057, LARGE),
  },
)

# The paper's table 1 rounds to 12M, 18M, 60M and, for another vocabulary, 235M.
ALBERT = Family(
  name="albert",
  kind=ENCODER,
  paper="arXiv:1909.11942",
  year=2019,
  build=albert,
  counted=TIED,
  reference="transformers.AlbertForPreTraining",
  sizes={
    "tiny": (None, TINY | dict(narrow=16, layers=3)),
    "base": (11_813_810, BASE),
    "large": (17_847_474, LARGE),
    "xlarge": (59_021_490, dict(dim=2048, heads=16, layers=24)),
    "xxlarge": (223_158_450, dict(dim=4096, heads=64, layers=12, hidden=16_384)),
  },
)

# The papers count both modules and round: "10 billion", "260 billion". These are the
# universal stack, one module and its head; the other module has 0.1 billion.
ERNIE_TINY = dict(
  dim=32,
  heads=4,
  layers=2,
  width=16,
  task_heads=2,
  task_layers=2,
  vocab=512,
  segment=8,
  memory=4,
)
ERNIE_SIZES = {
  "tiny": (None, ERNIE_TINY),
  "10b": (None, dict(dim=4096, heads=64, layers=48)),
  "titan_260b": (None, dict(dim=12_288, heads=192, layers=48, hidden=196_608)),
}

ERNIE3 = Family(
  name="ernie3",
  kind=CAUSAL_DECODER,
  paper="arXiv:2107.02137, arXiv:2112.12731",
  year=2021,
  build=ernie3,
  counted=ALL,
  reference="NumPy, after the paper; XLNet's attention in transformers",
  sizes=ERNIE_SIZES,
)

ERNIE3_UNDERSTANDING = Family(
  name="ernie3_understanding",
  kind=ENCODER,
  paper="arXiv:2107.02137, arXiv:2112.12731",
  year=2021,
  build=ernie3_understanding,
  counted=ALL,
  reference="NumPy, after the paper; XLNet's attention in transformers",
  sizes=ERNIE_SIZES,
)

ENCODERS = (BERT, ROBERTA, ALBERT, ERNIE3, ERNIE3_UNDERSTANDING)

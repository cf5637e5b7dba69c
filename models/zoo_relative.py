"""Zoo: decoders with relative attention. See zoo.py.

You are in: models. Data, no logic.
"""

from __future__ import annotations

from models.families.gopher import gopher
from models.families.transformer_xl import transformer_xl
from models.row import CAUSAL_DECODER, TIED, Family

XLNET = "XLNetRelativeAttention of transformers"
TINY_GOPHER = dict(dim=32, heads=2, layers=2, vocab=2048)

# Published are the names: 44M, 117M, 417M, 1.4B, 7.1B and 280B.
GOPHER = Family(
  name="gopher",
  kind=CAUSAL_DECODER,
  paper="arXiv:2112.11446",
  year=2021,
  build=gopher,
  counted=TIED,
  reference=XLNET,
  sizes={
    "tiny": (None, TINY_GOPHER),
    "44m": (None, dict(dim=512, heads=16, layers=8)),
    "117m": (None, dict(dim=768, heads=12, layers=12)),
    "417m": (None, dict(dim=1536, heads=12, layers=12)),
    "1_4b": (None, dict(dim=2048, heads=16, layers=24)),
    "7_1b": (None, dict(dim=4096, heads=32, layers=32)),
    "280b": (None, dict(dim=16_384, heads=128, layers=80)),
  },
)

# Published as 70B.
CHINCHILLA = Family(
  name="chinchilla",
  kind=CAUSAL_DECODER,
  paper="arXiv:2203.15556",
  year=2022,
  build=gopher,
  counted=TIED,
  reference=XLNET,
  sizes={
    "tiny": (None, TINY_GOPHER),
    "70b": (None, dict(dim=8192, heads=64, layers=80)),
  },
)

# Published as 41M, 277M and 151M (tables 1 and 2).
TRANSFORMER_XL = Family(
  name="transformer_xl",
  kind=CAUSAL_DECODER,
  paper="arXiv:1901.02860",
  year=2019,
  build=transformer_xl,
  counted=TIED,
  reference=XLNET,
  sizes={
    "tiny": (
      None,
      dict(dim=32, hidden=64, heads=2, layers=2, vocab=2048, segment=8, memory=8),
    ),
    "enwik8_12l": (
      None,
      dict(
        dim=512, hidden=2048, heads=8, layers=12, vocab=204, segment=512, memory=512
      ),
    ),
    "enwik8_24l": (
      None,
      dict(
        dim=1024, hidden=3072, heads=8, layers=24, vocab=204, segment=768, memory=768
      ),
    ),
    "wikitext103": (
      None,
      dict(
        dim=410,
        hidden=2100,
        heads=10,
        layers=16,
        vocab=267_735,
        segment=150,
        memory=150,
      ),
    ),
  },
)

RELATIVE = (GOPHER, CHINCHILLA, TRANSFORMER_XL)

"""Zoo: decoders of LLaMA's order whose architecture was never published. See zoo.py.

You are in: models. Data, no logic.
"""

from __future__ import annotations

from models.families.gemini1_5 import gemini1_5
from models.row import CAUSAL_DECODER, TIED, Family

# Published is that it is a mixture of experts, and no size: there is a toy alone.
GEMINI1_5 = Family(
  name="gemini1_5",
  kind=CAUSAL_DECODER,
  paper="arXiv:2403.05530, which publishes no architecture",
  year=2024,
  build=gemini1_5,
  counted=TIED,
  reference="nothing: no architecture is published",
  sizes={
    "tiny": (
      None,
      dict(dim=32, hidden=48, heads=4, head_dim=16, layers=2, experts=4, vocab=512),
    ),
  },
)

LLAMA_LIKE = (GEMINI1_5,)

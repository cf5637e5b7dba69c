"""Zoo: decoders in the line of GPT. See zoo.py.

You are in: models. Data, no logic.
"""

from __future__ import annotations

from models.families.bloom import bloom
from models.row import CAUSAL_DECODER, TIED, Family

BLOOM_176B = dict(dim=14_336, heads=112, layers=70)
BLOOM = Family(
  name="bloom",
  kind=CAUSAL_DECODER,
  paper="arXiv:2211.05100",
  year=2022,
  build=bloom,
  counted=TIED,
  reference="transformers.BloomForCausalLM",
  sizes={
    "tiny": (None, dict(dim=36, heads=6, layers=2, vocab=512)),
    "560m": (559_214_592, dict(dim=1024, heads=16, layers=24)),
    "1b1": (1_065_314_304, dict(dim=1536, heads=16, layers=24)),
    "1b7": (1_722_408_960, dict(dim=2048, heads=16, layers=24)),
    "3b": (3_002_557_440, dict(dim=2560, heads=32, layers=30)),
    "7b1": (7_069_016_064, dict(dim=4096, heads=32, layers=30)),
    "176b": (176_247_271_424, BLOOM_176B),
  },
)

BLOOMBERG_GPT = Family(
  name="bloomberg_gpt",
  kind=CAUSAL_DECODER,
  paper="arXiv:2303.17564",
  year=2023,
  build=bloom,
  counted=TIED,
  reference="transformers.BloomForCausalLM",
  sizes={
    "50b": (50_558_868_480, dict(dim=7680, heads=40, layers=70, vocab=131_072)),
  },
)

XUANYUAN2 = Family(
  name="xuanyuan2",
  kind=CAUSAL_DECODER,
  paper="arXiv:2305.12002",
  year=2023,
  build=bloom,
  counted=TIED,
  reference="transformers.BloomForCausalLM",
  sizes={"176b": (176_247_271_424, BLOOM_176B)},
)

GPT_LIKE = (BLOOM, BLOOMBERG_GPT, XUANYUAN2)

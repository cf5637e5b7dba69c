"""Zoo: GPT-3, models of its shape, and other decoders without a class. See zoo.py.

You are in: models. Data, no logic.
"""

from __future__ import annotations

from models.components.mask import Columns, FixedBlocks, Strided, Windowed
from models.components.yarn import Yarn
from models.families.gpt2 import gpt2
from models.families.gpt3 import gpt3
from models.families.grok import grok1
from models.families.mt_nlg import mt_nlg
from models.families.sparse_transformer import sparse_transformer
from models.families.yuan import yuan1_prefix
from models.row import ALL, CAUSAL_DECODER, PREFIX_DECODER, TIED, Family

# Table 2.1, which gives rounded counts, prints 24 heads of 128 at 1.3B and a width of
# 5140 at 13B: neither divides. Here are the shapes that the counts fit.
GPT3 = Family(
  name="gpt3",
  kind=CAUSAL_DECODER,
  paper="arXiv:2005.14165",
  year=2020,
  build=gpt3,
  counted=TIED,
  reference="a banded transformers.GPT2LMHeadModel",
  sizes={
    "tiny": (None, dict(dim=32, heads=4, layers=4, vocab=512, band=6, length=64)),
    "125m": (None, dict(dim=768, heads=12, layers=12)),
    "350m": (None, dict(dim=1024, heads=16, layers=24)),
    "760m": (None, dict(dim=1536, heads=16, layers=24)),
    "1_3b": (None, dict(dim=2048, heads=16, layers=24)),
    "2_7b": (None, dict(dim=2560, heads=32, layers=32)),
    "6_7b": (None, dict(dim=4096, heads=32, layers=32)),
    "13b": (None, dict(dim=5120, heads=40, layers=40)),
    "175b": (None, dict(dim=12_288, heads=96, layers=96)),
  },
)

# GPT-3's shapes: those whose parameters besides embeddings are what the sizes are named
# after. The released tokenizer adds 24 runs of spaces to GPT-3's vocabulary.
CODEX = Family(
  name="codex",
  kind=CAUSAL_DECODER,
  paper="arXiv:2107.03374",
  year=2021,
  build=gpt3,
  counted=TIED,
  sizes={
    "85m": (None, dict(dim=768, heads=12, layers=12, vocab=50_281)),
    "300m": (None, dict(dim=1024, heads=16, layers=24, vocab=50_281)),
    "679m": (None, dict(dim=1536, heads=16, layers=24, vocab=50_281)),
    "2_5b": (None, dict(dim=2560, heads=32, layers=32, vocab=50_281)),
    "12b": (None, dict(dim=5120, heads=40, layers=40, vocab=50_281)),
  },
)

# Published as 7.5B and 178B.
JURASSIC_SIZES = dict(vocab=256_000, length=2048)
JURASSIC1 = Family(
  name="jurassic1",
  kind=CAUSAL_DECODER,
  paper="Jurassic-1: Technical Details and Evaluation (2021)",
  year=2021,
  build=gpt2,
  counted=TIED,
  reference="transformers.GPT2LMHeadModel",
  sizes={
    "large": (None, dict(dim=4096, heads=32, layers=32) | JURASSIC_SIZES),
    "jumbo": (None, dict(dim=13_824, heads=96, layers=76) | JURASSIC_SIZES),
  },
)

# The vocabulary was not published; 51,200 is our guess.
CLOVA_SIZES = dict(vocab=51_200, length=2048)
HYPERCLOVA = Family(
  name="hyperclova",
  kind=CAUSAL_DECODER,
  paper="arXiv:2109.04650",
  year=2021,
  build=gpt2,
  counted=TIED,
  reference="transformers.GPT2LMHeadModel",
  sizes={
    "137m": (None, dict(dim=768, heads=16, layers=12) | CLOVA_SIZES),
    "350m": (None, dict(dim=1024, heads=16, layers=24) | CLOVA_SIZES),
    "760m": (None, dict(dim=1536, heads=16, layers=24) | CLOVA_SIZES),
    "1_3b": (None, dict(dim=2048, heads=16, layers=24) | CLOVA_SIZES),
    "6_9b": (None, dict(dim=4096, heads=32, layers=32) | CLOVA_SIZES),
    "13b": (None, dict(dim=5120, heads=40, layers=40) | CLOVA_SIZES),
    "39b": (None, dict(dim=8192, heads=64, layers=48) | CLOVA_SIZES),
    "82b": (None, dict(dim=10_240, heads=80, layers=64) | CLOVA_SIZES),
  },
)

# Published as 12.91B and 245.73B; heads were not, those of 128 features are our guess.
YUAN_13B = dict(dim=5120, heads=40, layers=40)
YUAN_245B = dict(dim=16_384, heads=128, layers=76)
YUAN_SIZES = dict(vocab=53_228, length=2048)
YUAN1 = Family(
  name="yuan1",
  kind=CAUSAL_DECODER,
  paper="arXiv:2110.04725",
  year=2021,
  build=gpt2,
  counted=TIED,
  reference="transformers.GPT2LMHeadModel",
  sizes={
    "13b": (None, YUAN_13B | YUAN_SIZES),
    "245b": (None, YUAN_245B | YUAN_SIZES),
  },
)

YUAN1_PREFIX = Family(
  name="yuan1_prefix",
  kind=PREFIX_DECODER,
  paper="arXiv:2110.04725",
  year=2021,
  build=yuan1_prefix,
  counted=TIED,
  reference="a transformers.GPT2LMHeadModel with a prefix's mask",
  sizes={"13b": (None, YUAN_13B), "245b": (None, YUAN_245B)},
)

# Published as 530B.
MT_NLG = Family(
  name="mt_nlg",
  kind=CAUSAL_DECODER,
  paper="arXiv:2201.11990",
  year=2022,
  build=mt_nlg,
  counted=TIED,
  reference="transformers.GPT2LMHeadModel",
  sizes={"530b": (None, dict(dim=20_480, heads=128, layers=105))},
)

# Published as 95M and 152M.
SPARSE_TRANSFORMER = Family(
  name="sparse_transformer",
  kind=CAUSAL_DECODER,
  paper="arXiv:1904.10509",
  year=2019,
  build=sparse_transformer,
  counted=ALL,
  reference="a transformers.GPT2LMHeadModel with the paper's masks",
  sizes={
    "tiny": (
      None,
      dict(
        dim=32,
        heads=4,
        layers=2,
        shape=(16, 4),
        masks=(Strided(stride=4),),
      ),
    ),
    "tiny_turns": (
      None,
      dict(
        dim=32,
        heads=4,
        layers=4,
        shape=(16, 4),
        masks=(Windowed(window=5), Columns(stride=4)),
      ),
    ),
    "enwik8": (
      None,
      dict(
        dim=512,
        heads=8,
        layers=30,
        shape=(96, 128),
        masks=(FixedBlocks(stride=128, summary=32),),
      ),
    ),
    "imagenet64": (
      None,
      dict(
        dim=512, heads=16, layers=48, shape=(64, 64, 3), masks=(Strided(stride=128),)
      ),
    ),
  },
)

# Published as 314B, a quarter of them for a token.
GROK1_SHAPE = dict(dim=6144, hidden=32_768, heads=48, kv_heads=8, layers=64)
TINY_GROK = dict(
  dim=32, hidden=48, heads=4, kv_heads=2, head_dim=8, layers=2, experts=4, vocab=512
)
GROK1 = Family(
  name="grok1",
  kind=CAUSAL_DECODER,
  paper="Grok-1 (xAI 2024), released model code",
  year=2024,
  build=grok1,
  counted=TIED,
  reference="NumPy, after the released code",
  sizes={"tiny": (None, TINY_GROK), "314b": (None, GROK1_SHAPE)},
)

# Known of it is a context of 128k tokens. Its shape here is Grok-1's, and how positions
# are stretched is our guess.
GROK1_5 = Family(
  name="grok1_5",
  kind=CAUSAL_DECODER,
  paper="Announcing Grok-1.5 (xAI 2024)",
  year=2024,
  build=grok1,
  counted=TIED,
  reference="nothing: only its context length is published",
  sizes={
    "tiny": (None, TINY_GROK | dict(context=Yarn(factor=4.0, original=8))),
    "128k": (None, GROK1_SHAPE | dict(context=Yarn(factor=16.0, original=8192))),
  },
)

GPT3_LIKE = (
  GPT3,
  CODEX,
  JURASSIC1,
  HYPERCLOVA,
  YUAN1,
  YUAN1_PREFIX,
  MT_NLG,
  SPARSE_TRANSFORMER,
  GROK1,
  GROK1_5,
)

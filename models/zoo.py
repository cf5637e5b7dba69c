"""Zoo: the index of every architecture and size this library ships.

You are in: models. Data, no logic: one `Family` a line of models, one entry of `sizes` a
published size; mixtures of experts are in zoo_mixtures.py. `ZOO["t5_1_1/base"]` is a row, `.spec()` its architecture, and
gin_configs/models/<name>.gin says the same to a run. Each row has a golden file,
tests/golden/<name>.txt: its printed spec and its parameters.

To add a model: a row here, its gin file, and `pytest tests/models/test_golden.py
--update-golden`. `tiny` sizes are ours, for tests and first steps.
"""

from __future__ import annotations

from models.components.position import Llama3Scaling
from models.families.gpt2 import gpt2
from models.families.llama import llama
from models.families.olmo import olmo
from models.families.t5 import t5, t5_1_1, umt5
from models.row import ALL, CAUSAL_DECODER, ENCODER_DECODER, TIED, Family, Row
from models.zoo_ancestors import ANCESTORS
from models.zoo_encoders import ENCODERS
from models.zoo_gpt import GPT_LIKE
from models.zoo_gpt3 import GPT3_LIKE
from models.zoo_mixtures import MIXTURES
from models.zoo_parallel import PARALLEL
from models.zoo_relative import RELATIVE
from models.zoo_variants import VARIANTS

# Shapes of T5 v1.1, which mT5 and umT5 took over with other vocabularies.
TINY = dict(dim=32, hidden=64, heads=2, head_dim=16, layers=2, vocab=2048)
SMALL = dict(dim=512, hidden=1024, heads=6, layers=8)
BASE = dict(dim=768, hidden=2048, heads=12, layers=12)
LARGE = dict(dim=1024, hidden=2816, heads=16, layers=24)
XL = dict(dim=2048, hidden=5120, heads=32, layers=24)
XXL = dict(dim=4096, hidden=10_240, heads=64, layers=24)

T5 = Family(
  name="t5",
  kind=ENCODER_DECODER,
  paper="arXiv:1910.10683",
  year=2019,
  build=t5,
  counted=TIED,
  reference="transformers.T5ForConditionalGeneration",
  sizes={
    "tiny": (None, TINY),
    "small": (60_506_624, dict(dim=512, hidden=2048, heads=8, layers=6)),
    "base": (222_903_552, dict(dim=768, hidden=3072, heads=12, layers=12)),
    "large": (737_668_096, dict(dim=1024, hidden=4096, heads=16, layers=24)),
    "3b": (
      2_851_598_336,
      dict(dim=1024, hidden=16_384, heads=32, head_dim=128, layers=24),
    ),
    "11b": (
      11_307_321_344,
      dict(dim=1024, hidden=65_536, heads=128, head_dim=128, layers=24),
    ),
  },
)

T5_1_1 = Family(
  name="t5_1_1",
  kind=ENCODER_DECODER,
  paper="arXiv:1910.10683, released v1.1; arXiv:2002.05202",
  year=2020,
  build=t5_1_1,
  counted=ALL,
  reference="transformers.T5ForConditionalGeneration",
  sizes={
    "tiny": (None, TINY),
    "small": (76_961_152, SMALL),
    "base": (247_577_856, BASE),
    "large": (783_150_080, LARGE),
    "xl": (2_849_757_184, XL),
    "xxl": (11_135_332_352, XXL),
  },
)

MT5 = Family(
  name="mt5",
  kind=ENCODER_DECODER,
  paper="arXiv:2010.11934",
  year=2020,
  build=t5_1_1,
  counted=ALL,
  reference="transformers.MT5ForConditionalGeneration",
  sizes={
    "tiny": (None, TINY),
    "small": (300_176_768, SMALL | dict(vocab=250_112)),
    "base": (582_401_280, BASE | dict(vocab=250_112)),
    "large": (1_229_581_312, LARGE | dict(vocab=250_112)),
    "xl": (3_742_619_648, XL | dict(vocab=250_112)),
    "xxl": (12_921_057_280, XXL | dict(vocab=250_112)),
  },
)

# A third of the layers decode: bytes make long inputs, and the encoder reads them.
BYT5 = Family(
  name="byt5",
  kind=ENCODER_DECODER,
  paper="arXiv:2105.13626",
  year=2021,
  build=t5_1_1,
  counted=ALL,
  reference="transformers.T5ForConditionalGeneration",
  sizes={
    "tiny": (None, TINY | dict(layers=3, decoder_layers=1, vocab=384)),
    "small": (
      299_637_760,
      dict(dim=1472, hidden=3584, heads=6, layers=12, decoder_layers=4, vocab=384),
    ),
    "base": (
      581_653_248,
      dict(dim=1536, hidden=3968, heads=12, layers=18, decoder_layers=6, vocab=384),
    ),
    "large": (
      1_228_183_552,
      dict(dim=1536, hidden=3840, heads=16, layers=36, decoder_layers=12, vocab=384),
    ),
    "xl": (
      3_737_801_728,
      dict(dim=2560, hidden=6720, heads=32, layers=36, decoder_layers=12, vocab=384),
    ),
    "xxl": (
      12_906_899_328,
      dict(dim=4672, hidden=12_352, heads=64, layers=36, decoder_layers=12, vocab=384),
    ),
  },
)

# The paper's large size was never released.
UMT5 = Family(
  name="umt5",
  kind=ENCODER_DECODER,
  paper="arXiv:2304.09151",
  year=2023,
  build=umt5,
  counted=ALL,
  reference="transformers.UMT5ForConditionalGeneration",
  sizes={
    "tiny": (None, TINY),
    "small": (306_601_984, SMALL | dict(vocab=256_384)),
    "base": (592_043_520, BASE | dict(vocab=256_384)),
    "xl": (3_768_356_864, XL | dict(vocab=256_384)),
    "xxl": (12_972_531_712, XXL | dict(vocab=256_384)),
  },
)

# The report's own figures (117M, 345M, 762M, 1542M) are misprints; these are the
# released weights.
GPT2 = Family(
  name="gpt2",
  kind=CAUSAL_DECODER,
  paper="Language Models are Unsupervised Multitask Learners (2019)",
  year=2019,
  build=gpt2,
  counted=TIED,
  reference="transformers.GPT2LMHeadModel",
  sizes={
    "tiny": (None, dict(dim=32, heads=2, layers=2, vocab=2048, length=512)),
    "small": (124_439_808, dict(dim=768, heads=12, layers=12)),
    "medium": (354_823_168, dict(dim=1024, heads=16, layers=24)),
    "large": (774_030_080, dict(dim=1280, heads=20, layers=36)),
    "xl": (1_557_611_200, dict(dim=1600, heads=25, layers=48)),
  },
)

TINY_LLAMA = dict(dim=32, hidden=88, heads=4, layers=2, vocab=2048)

LLAMA = Family(
  name="llama",
  kind=CAUSAL_DECODER,
  paper="arXiv:2302.13971",
  year=2023,
  build=llama,
  counted=ALL,
  reference="transformers.LlamaForCausalLM",
  sizes={
    "tiny": (None, TINY_LLAMA | dict(eps=1e-6)),
    "7b": (
      6_738_415_616,
      dict(dim=4096, hidden=11_008, heads=32, layers=32, eps=1e-6),
    ),
    "13b": (
      13_015_864_320,
      dict(dim=5120, hidden=13_824, heads=40, layers=40, eps=1e-6),
    ),
    "33b": (
      32_528_943_616,
      dict(dim=6656, hidden=17_920, heads=52, layers=60, eps=1e-6),
    ),
    "65b": (
      65_285_660_672,
      dict(dim=8192, hidden=22_016, heads=64, layers=80, eps=1e-5),
    ),
  },
)

LLAMA2 = Family(
  name="llama2",
  kind=CAUSAL_DECODER,
  paper="arXiv:2307.09288",
  year=2023,
  build=llama,
  counted=ALL,
  reference="transformers.LlamaForCausalLM",
  sizes={
    "tiny": (None, TINY_LLAMA | dict(kv_heads=2)),
    "7b": (6_738_415_616, dict(dim=4096, hidden=11_008, heads=32, layers=32)),
    "13b": (13_015_864_320, dict(dim=5120, hidden=13_824, heads=40, layers=40)),
    "70b": (
      68_976_648_192,
      dict(dim=8192, hidden=28_672, heads=64, layers=80, kv_heads=8),
    ),
  },
)

COMMON3 = dict(kv_heads=8, vocab=128_256, rope_base=500_000.0)
LLAMA3_8B = dict(dim=4096, hidden=14_336, heads=32, layers=32) | COMMON3
LLAMA3_70B = dict(dim=8192, hidden=28_672, heads=64, layers=80) | COMMON3
LLAMA3_405B = dict(dim=16_384, hidden=53_248, heads=128, layers=126) | COMMON3
TINY_LLAMA3 = TINY_LLAMA | dict(kv_heads=2, rope_base=500_000.0)

LLAMA3 = Family(
  name="llama3",
  kind=CAUSAL_DECODER,
  paper="arXiv:2407.21783",
  year=2024,
  build=llama,
  counted=ALL,
  reference="transformers.LlamaForCausalLM",
  sizes={
    "tiny": (None, TINY_LLAMA3),
    "8b": (8_030_261_248, LLAMA3_8B),
    "70b": (70_553_706_496, LLAMA3_70B),
  },
)

STRETCH_8 = dict(rope_scaling=Llama3Scaling(factor=8.0))

LLAMA3_1 = Family(
  name="llama3_1",
  kind=CAUSAL_DECODER,
  paper="arXiv:2407.21783",
  year=2024,
  build=llama,
  counted=ALL,
  reference="transformers.LlamaForCausalLM",
  sizes={
    "tiny": (None, TINY_LLAMA3 | STRETCH_8),
    "8b": (8_030_261_248, LLAMA3_8B | STRETCH_8),
    "70b": (70_553_706_496, LLAMA3_70B | STRETCH_8),
    "405b": (405_853_388_800, LLAMA3_405B | STRETCH_8),
  },
)

TIED_32 = dict(tied=True, rope_scaling=Llama3Scaling(factor=32.0))
LLAMA3_2_1B = dict(dim=2048, hidden=8192, heads=32, layers=16) | COMMON3
LLAMA3_2_3B = dict(dim=3072, hidden=8192, heads=24, layers=28) | COMMON3

LLAMA3_2 = Family(
  name="llama3_2",
  kind=CAUSAL_DECODER,
  paper="arXiv:2407.21783, released 3.2 configurations",
  year=2024,
  build=llama,
  counted=TIED,
  reference="transformers.LlamaForCausalLM",
  sizes={
    "tiny": (None, TINY_LLAMA3 | TIED_32),
    "1b": (1_235_814_400, LLAMA3_2_1B | TIED_32),
    "3b": (3_212_749_824, LLAMA3_2_3B | TIED_32),
  },
)

OLMO = Family(
  name="olmo",
  kind=CAUSAL_DECODER,
  paper="arXiv:2402.00838",
  year=2024,
  build=olmo,
  counted=ALL,
  reference="transformers.OlmoForCausalLM",
  sizes={
    "tiny": (None, TINY_LLAMA),
    "1b": (
      1_176_764_416,
      dict(dim=2048, hidden=8192, heads=16, layers=16, tied=True),
    ),
    "7b": (6_888_095_744, dict(dim=4096, hidden=11_008, heads=32, layers=32)),
  },
)

FAMILIES = (
  T5,
  T5_1_1,
  MT5,
  BYT5,
  UMT5,
  GPT2,
  LLAMA,
  LLAMA2,
  LLAMA3,
  LLAMA3_1,
  LLAMA3_2,
  OLMO,
  *ENCODERS,
  *MIXTURES,
  *GPT_LIKE,
  *GPT3_LIKE,
  *RELATIVE,
  *PARALLEL,
  *VARIANTS,
  *ANCESTORS,
)
ZOO: dict[str, Row] = {row.name: row for family in FAMILIES for row in family.rows()}

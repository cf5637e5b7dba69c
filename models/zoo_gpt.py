"""Zoo: decoders in the line of GPT, and those after it that were released. See zoo.py.

You are in: models. Data, no logic.
"""

from __future__ import annotations

from models.families.bloom import bloom
from models.families.galactica import galactica
from models.families.gpt import gpt
from models.families.gpt_bigcode import gpt_bigcode
from models.families.gpt_neo import gpt_neo
from models.families.mpt import mpt
from models.families.opt import opt, opt_post_norm
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

OPT = Family(
  name="opt",
  kind=CAUSAL_DECODER,
  paper="arXiv:2205.01068",
  year=2022,
  build=opt,
  counted=TIED,
  reference="transformers.OPTForCausalLM",
  sizes={
    "tiny": (None, dict(dim=32, heads=4, layers=2, vocab=512, length=64)),
    "125m": (125_239_296, dict(dim=768, heads=12, layers=12)),
    "1_3b": (1_315_758_080, dict(dim=2048, heads=32, layers=24)),
    "2_7b": (2_651_596_800, dict(dim=2560, heads=32, layers=32)),
    "6_7b": (6_658_473_984, dict(dim=4096, heads=32, layers=32)),
    "13b": (12_853_473_280, dict(dim=5120, heads=40, layers=40)),
    "30b": (29_974_540_288, dict(dim=7168, heads=56, layers=48)),
    "66b": (65_719_701_504, dict(dim=9216, heads=72, layers=64)),
    "175b": (174_604_468_224, dict(dim=12_288, heads=96, layers=96)),
  },
)

OPT_350M = Family(
  name="opt",
  kind=CAUSAL_DECODER,
  paper="arXiv:2205.01068, released 350M model",
  year=2022,
  build=opt_post_norm,
  counted=TIED,
  reference="transformers.OPTForCausalLM",
  sizes={
    "tiny_350m": (
      None,
      dict(dim=32, width=16, heads=4, layers=2, vocab=512, length=64),
    ),
    "350m": (331_196_416, dict(dim=1024, width=512, heads=16, layers=24)),
  },
)

GALACTICA = Family(
  name="galactica",
  kind=CAUSAL_DECODER,
  paper="arXiv:2211.09085",
  year=2022,
  build=galactica,
  counted=TIED,
  reference="transformers.OPTForCausalLM",
  sizes={
    "tiny": (None, dict(dim=32, heads=4, layers=2, vocab=512, length=64)),
    "125m": (124_909_056, dict(dim=768, heads=12, layers=12)),
    "1_3b": (1_314_557_952, dict(dim=2048, heads=32, layers=24)),
    "6_7b": (6_655_647_744, dict(dim=4096, heads=32, layers=32)),
    "30b": (29_968_103_424, dict(dim=7168, heads=56, layers=48)),
    "120b": (121_328_947_200, dict(dim=10_240, heads=80, layers=96)),
  },
)

# Published as 7B and 30B; the class counts what is exact.
MPT = Family(
  name="mpt",
  kind=CAUSAL_DECODER,
  paper="MPT-7B and MPT-30B (MosaicML 2023), released models",
  year=2023,
  build=mpt,
  counted=TIED,
  reference="transformers.MptForCausalLM",
  sizes={
    "tiny": (None, dict(dim=32, heads=4, layers=2, vocab=512)),
    "7b": (6_649_286_656, dict(dim=4096, heads=32, layers=32)),
    "30b": (None, dict(dim=7168, heads=64, layers=48)),
  },
)

GPT = Family(
  name="gpt",
  kind=CAUSAL_DECODER,
  paper="Improving Language Understanding by Generative Pre-Training (2018)",
  year=2018,
  build=gpt,
  counted=TIED,
  reference="transformers.OpenAIGPTLMHeadModel",
  sizes={
    "tiny": (None, dict(dim=32, heads=4, layers=2, vocab=512, length=64)),
    "117m": (116_534_784, dict(dim=768, heads=12, layers=12)),
  },
)

SANTACODER = Family(
  name="santacoder",
  kind=CAUSAL_DECODER,
  paper="arXiv:2301.03988",
  year=2023,
  build=gpt_bigcode,
  counted=TIED,
  reference="transformers.GPTBigCodeForCausalLM",
  sizes={
    "1_1b": (
      1_124_886_528,
      dict(dim=2048, heads=16, layers=24, vocab=49_280, length=2048),
    ),
  },
)

STARCODER = Family(
  name="starcoder",
  kind=CAUSAL_DECODER,
  paper="arXiv:2305.06161",
  year=2023,
  build=gpt_bigcode,
  counted=TIED,
  reference="transformers.GPTBigCodeForCausalLM",
  sizes={
    "tiny": (None, dict(dim=32, heads=4, layers=2, vocab=512, length=64)),
    "15_5b": (15_517_456_384, dict(dim=6144, heads=48, layers=40)),
  },
)

GPT_NEO = Family(
  name="gpt_neo",
  kind=CAUSAL_DECODER,
  paper="GPT-Neo (Black et al. 2021), released models",
  year=2021,
  build=gpt_neo,
  counted=TIED,
  reference="transformers.GPTNeoForCausalLM",
  sizes={
    "tiny": (
      None,
      dict(dim=32, heads=4, layers=4, vocab=512, window=6, length=64),
    ),
    "125m": (125_198_592, dict(dim=768, heads=12, layers=12)),
    "1_3b": (1_315_575_808, dict(dim=2048, heads=16, layers=24)),
    "2_7b": (2_651_307_520, dict(dim=2560, heads=20, layers=32)),
  },
)

GPT_LIKE = (
  BLOOM,
  BLOOMBERG_GPT,
  XUANYUAN2,
  OPT,
  OPT_350M,
  GALACTICA,
  MPT,
  GPT,
  SANTACODER,
  STARCODER,
  GPT_NEO,
)

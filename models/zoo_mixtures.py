"""Zoo: mixtures of experts. See zoo.py.

You are in: models. Data, no logic.
"""

from __future__ import annotations

from models.components.moe import FixedCapacity
from models.families.arctic import arctic
from models.families.cpm2_moe import cpm2_moe
from models.families.deepseek import deepseek_llm, deepseek_v2
from models.families.gemini1_5 import gemini1_5
from models.families.glam import glam
from models.families.mixtral import mixtral
from models.families.pangu import pangu_alpha, pangu_sigma
from models.families.switch import switch
from models.row import ALL, CAUSAL_DECODER, ENCODER_DECODER, TIED, Family

# The released 8x22B has 32,000 ids; later instruct models have 32,768.
MIXTRAL = Family(
  name="mixtral",
  kind=CAUSAL_DECODER,
  paper="arXiv:2401.04088",
  year=2024,
  build=mixtral,
  counted=ALL,
  reference="transformers.MixtralForCausalLM",
  sizes={
    "tiny": (
      None,
      dict(dim=32, hidden=48, heads=4, kv_heads=2, layers=2, experts=4, vocab=512),
    ),
    "8x7b": (
      46_702_792_704,
      dict(dim=4096, hidden=14_336, heads=32, kv_heads=8, layers=32, balance=0.02),
    ),
    "8x22b": (
      140_620_634_112,
      dict(dim=6144, hidden=16_384, heads=48, kv_heads=8, layers=56),
    ),
  },
)

# Tiny computes every choice: where an expert may be full, a token depends on its row.
SWITCH_BASE = dict(dim=768, hidden=3072, heads=12, layers=12)
SWITCH = Family(
  name="switch",
  kind=ENCODER_DECODER,
  paper="arXiv:2101.03961",
  year=2021,
  build=switch,
  counted=TIED,
  reference="transformers.SwitchTransformersForConditionalGeneration",
  sizes={
    "tiny": (
      None,
      dict(
        dim=32,
        hidden=64,
        heads=2,
        head_dim=16,
        layers=2,
        vocab=2048,
        experts=4,
        capacity=None,
      ),
    ),
    # As released: 64 tokens of a row for each expert.
    "base_8": (
      619_339_008,
      SWITCH_BASE | dict(experts=8, capacity=FixedCapacity(tokens=64)),
    ),
    "base_128": (None, SWITCH_BASE | dict(experts=128)),
    "large_128": (
      None,
      dict(dim=1024, hidden=4096, heads=16, layers=24, experts=128),
    ),
  },
)

# Published are "1.2T" with 96.6B for a token, 143B with 9.8B, 27B with 1.879B. Those of
# the smaller sizes fit a vocabulary of 32,768, that of the largest one of 256,000.
GLAM = Family(
  name="glam",
  kind=CAUSAL_DECODER,
  paper="arXiv:2112.06905",
  year=2021,
  build=glam,
  counted=TIED,
  reference="NumPy, after the paper",
  sizes={
    "tiny": (
      None,
      dict(
        dim=32,
        hidden=48,
        heads=4,
        head_dim=8,
        layers=2,
        experts=4,
        vocab=512,
        capacity=None,
      ),
    ),
    "1_7b_64e": (
      None,
      dict(dim=2048, hidden=8192, heads=16, layers=24, vocab=32_768),
    ),
    "8b_64e": (None, dict(dim=4096, hidden=16_384, heads=32, layers=32, vocab=32_768)),
    "64b_64e": (None, dict(dim=8192, hidden=32_768, heads=128, layers=64)),
  },
)

# Published as 480B, 17B of them for a token.
ARCTIC = Family(
  name="arctic",
  kind=CAUSAL_DECODER,
  paper="Snowflake Arctic (2024), released model code",
  year=2024,
  build=arctic,
  counted=ALL,
  reference="NumPy, after its description",
  sizes={
    "tiny": (
      None,
      dict(dim=32, hidden=24, heads=4, kv_heads=2, layers=2, experts=6, vocab=512),
    ),
    "480b": (
      None,
      dict(dim=7168, hidden=4864, heads=56, kv_heads=8, layers=35),
    ),
  },
)

# Published as 2.6B, 13.1B and 207.0B; the paper counts heads at 2.6B otherwise.
PANGU_ALPHA = Family(
  name="pangu_alpha",
  kind=CAUSAL_DECODER,
  paper="arXiv:2104.12369",
  year=2021,
  build=pangu_alpha,
  counted=TIED,
  reference="NumPy, after the paper",
  sizes={
    "tiny": (None, dict(dim=32, heads=4, layers=3, vocab=512, length=64)),
    "2_6b": (None, dict(dim=2560, heads=32, layers=32)),
    "13b": (None, dict(dim=5120, heads=40, layers=40)),
    "200b": (None, dict(dim=16_384, heads=128, layers=64)),
  },
)

# Published as 1.085T; the vocabulary was not, 130,000 is our guess.
PANGU_SIGMA = Family(
  name="pangu_sigma",
  kind=CAUSAL_DECODER,
  paper="arXiv:2303.10845",
  year=2023,
  build=pangu_sigma,
  counted=TIED,
  reference="NumPy, after the paper",
  sizes={
    "tiny": (
      None,
      dict(
        dim=32,
        heads=4,
        layers=3,
        routed=2,
        domains=2,
        experts=6,
        vocab=512,
        length=64,
      ),
    ),
    "1t": (None, dict(dim=5120, heads=40, layers=40, vocab=130_000)),
  },
)

# Published as 198B.
CPM2_MOE = Family(
  name="cpm2_moe",
  kind=ENCODER_DECODER,
  paper="arXiv:2106.10715",
  year=2021,
  build=cpm2_moe,
  counted=ALL,
  sizes={
    "tiny": (
      None,
      dict(dim=32, hidden=24, heads=2, head_dim=16, layers=2, experts=4, vocab=512),
    ),
    "198b": (
      None,
      dict(dim=4096, hidden=10_240, heads=64, layers=24, vocab=51_968),
    ),
  },
)

# Dense; here because DeepSeek-V2 goes on from it.
DEEPSEEK_LLM = Family(
  name="deepseek_llm",
  kind=CAUSAL_DECODER,
  paper="arXiv:2401.02954",
  year=2024,
  build=deepseek_llm,
  counted=ALL,
  reference="transformers.LlamaForCausalLM",
  sizes={
    "tiny": (None, dict(dim=32, hidden=88, heads=4, layers=2, vocab=2048)),
    "7b": (6_910_365_696, dict(dim=4096, hidden=11_008, heads=32, layers=30)),
    "67b": (
      67_425_001_472,
      dict(dim=8192, hidden=22_016, heads=64, layers=95, kv_heads=8),
    ),
  },
)

DEEPSEEK_V2 = Family(
  name="deepseek_v2",
  kind=CAUSAL_DECODER,
  paper="arXiv:2405.04434",
  year=2024,
  build=deepseek_v2,
  counted=ALL,
  reference="transformers.DeepseekV2ForCausalLM",
  sizes={
    "tiny": (
      None,
      dict(
        dim=32,
        hidden=48,
        heads=4,
        layers=3,
        experts=8,
        expert_hidden=16,
        k=3,
        groups=4,
        kept=2,
        scale=4.0,
        query_latent=24,
        latent=16,
        head_dim=8,
        rope_dim=4,
        losses=(0.003, 0.05, 0.02),
        vocab=512,
      ),
    ),
    "lite": (
      15_706_484_224,
      dict(
        dim=2048,
        hidden=10_944,
        heads=16,
        layers=27,
        experts=64,
        expert_hidden=1408,
      ),
    ),
    "236b": (
      235_741_434_880,
      dict(
        dim=5120,
        hidden=12_288,
        heads=128,
        layers=60,
        experts=160,
        expert_hidden=1536,
        groups=8,
        kept=3,
        scale=16.0,
        query_latent=1536,
        losses=(0.003, 0.05, 0.02),
      ),
    ),
  },
)

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

MIXTURES = (
  MIXTRAL,
  SWITCH,
  GLAM,
  ARCTIC,
  PANGU_ALPHA,
  PANGU_SIGMA,
  CPM2_MOE,
  DEEPSEEK_LLM,
  DEEPSEEK_V2,
  GEMINI1_5,
)

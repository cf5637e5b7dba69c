"""Zoo: decoders whose attention and feed-forward layer stand side by side, and the
decoders released beside them. See zoo.py.

You are in: models. Data, no logic.
"""

from __future__ import annotations

from models.families.falcon import falcon, falcon_two_norms
from models.families.gemma import gemma
from models.families.gpt_j import codegen, gpt_j
from models.families.gpt_neox import gpt_neox
from models.families.mistral import mistral
from models.families.nemotron4 import nemotron4
from models.families.palm import palm, u_palm
from models.families.qwen import qwen
from models.row import ALL, CAUSAL_DECODER, PREFIX_DECODER, TIED, Family

TINY = dict(dim=32, heads=4, layers=2, vocab=512)

GPT_NEOX = Family(
  name="gpt_neox",
  kind=CAUSAL_DECODER,
  paper="arXiv:2204.06745",
  year=2022,
  build=gpt_neox,
  counted=ALL,
  reference="transformers.GPTNeoXForCausalLM",
  sizes={
    "tiny": (None, TINY),
    "20b": (20_554_567_680, dict(dim=6144, heads=64, layers=44)),
  },
)

# Tables are padded to a multiple of 128 times the devices that shared them.
EXACT = dict(act="gelu", vocab=50_304)
PYTHIA = Family(
  name="pythia",
  kind=CAUSAL_DECODER,
  paper="arXiv:2304.01373",
  year=2023,
  build=gpt_neox,
  counted=ALL,
  reference="transformers.GPTNeoXForCausalLM",
  sizes={
    "tiny": (None, TINY | dict(act="gelu")),
    "70m": (70_426_624, dict(dim=512, heads=8, layers=6) | EXACT),
    "160m": (162_322_944, dict(dim=768, heads=12, layers=12) | EXACT),
    "410m": (405_334_016, dict(dim=1024, heads=16, layers=24) | EXACT),
    "1b": (1_011_781_632, dict(dim=2048, heads=8, layers=16) | EXACT),
    "1_4b": (1_414_647_808, dict(dim=2048, heads=16, layers=24) | EXACT),
    "2_8b": (2_775_208_960, dict(dim=2560, heads=32, layers=32) | EXACT),
    "6_9b": (6_857_302_016, dict(dim=4096, heads=32, layers=32, act="gelu")),
    "12b": (
      11_846_072_320,
      dict(dim=5120, heads=40, layers=36, act="gelu", vocab=50_688),
    ),
  },
)

# The model card's 6,053,381,344 has vectors once for each of eight devices, and a bias of
# the table that the release added to its rows.
GPT_J = Family(
  name="gpt_j",
  kind=CAUSAL_DECODER,
  paper="GPT-J-6B (Wang and Komatsuzaki 2021), released model",
  year=2021,
  build=gpt_j,
  counted=ALL,
  reference="transformers.GPTJForCausalLM",
  sizes={
    "tiny": (None, TINY | dict(rotary_dim=4)),
    "6b": (6_050_882_784, dict(dim=4096, heads=16, layers=28)),
  },
)

# Released as 350M, 2B, 6B and 16B; the class counts what is exact.
CODEGEN = Family(
  name="codegen",
  kind=CAUSAL_DECODER,
  paper="arXiv:2203.13474",
  year=2022,
  build=codegen,
  counted=ALL,
  reference="transformers.CodeGenForCausalLM",
  sizes={
    "tiny": (None, TINY | dict(rotary_dim=4)),
    "350m": (356_712_448, dict(dim=1024, heads=16, layers=20, rotary_dim=32)),
    "2b": (2_779_356_160, dict(dim=2560, heads=32, layers=32)),
    "6b": (7_064_213_504, dict(dim=4096, heads=16, layers=33)),
    "16b": (16_032_155_648, dict(dim=6144, heads=24, layers=34)),
  },
)

# Counted without the copy of the table that files hold as a head: they sum up to
# 7,217,189,760, 41,835,970,560 and 179,522,565,120.
FALCON = Family(
  name="falcon",
  kind=CAUSAL_DECODER,
  paper="arXiv:2311.16867",
  year=2023,
  build=falcon,
  counted=TIED,
  reference="transformers.FalconForCausalLM",
  sizes={
    "tiny": (None, TINY),
    "7b": (6_921_720_704, dict(dim=4544, heads=71, layers=32)),
  },
)

FALCON_TWO_NORMS = Family(
  name="falcon",
  kind=CAUSAL_DECODER,
  paper="arXiv:2311.16867",
  year=2023,
  build=falcon_two_norms,
  counted=TIED,
  reference="transformers.FalconForCausalLM",
  sizes={
    "tiny_two_norms": (None, TINY | dict(kv_heads=2)),
    "40b": (41_303_293_952, dict(dim=8192, heads=128, layers=60)),
    "180b": (178_557_088_768, dict(dim=14_848, heads=232, layers=80)),
  },
)

# Published as 3.2B of embeddings and 12.5B, and as 9.4B and 331.6B.
NEMOTRON4 = Family(
  name="nemotron4",
  kind=CAUSAL_DECODER,
  paper="arXiv:2402.16819; arXiv:2406.11704",
  year=2024,
  build=nemotron4,
  counted=ALL,
  reference="transformers.NemotronForCausalLM",
  sizes={
    "tiny": (None, TINY | dict(hidden=128, kv_heads=2)),
    "15b": (None, dict(dim=6144, hidden=24_576, heads=48, kv_heads=8, layers=32)),
    "340b": (None, dict(dim=18_432, hidden=73_728, heads=96, kv_heads=8, layers=96)),
  },
)

# Published as 8.63B, 62.50B and 540.35B.
PALM_SIZES = {
  "tiny": (None, TINY | dict(head_dim=8)),
  "8b": (None, dict(dim=4096, heads=16, layers=32)),
  "62b": (None, dict(dim=8192, heads=32, layers=64)),
  "540b": (None, dict(dim=18_432, heads=48, layers=118)),
}

PALM = Family(
  name="palm",
  kind=CAUSAL_DECODER,
  paper="arXiv:2204.02311",
  year=2022,
  build=palm,
  counted=TIED,
  reference="NumPy, after the paper",
  sizes=PALM_SIZES,
)

U_PALM = Family(
  name="u_palm",
  kind=PREFIX_DECODER,
  paper="arXiv:2210.11399",
  year=2022,
  build=u_palm,
  counted=TIED,
  reference="NumPy, after the paper",
  sizes=PALM_SIZES,
)

# Neither architecture nor sizes are published: PaLM's, and 10.7B of parameters besides
# the table, which the report fits to 10^22 FLOPs (its table 1). The shape is ours.
PALM2 = Family(
  name="palm2",
  kind=CAUSAL_DECODER,
  paper="arXiv:2305.10403, which publishes no architecture",
  year=2023,
  build=palm,
  counted=TIED,
  reference="nothing: no architecture is published",
  sizes={"10_7b": (None, dict(dim=4864, heads=19, layers=32))},
)

# Released as remote code; Qwen2's class computes the same at up to 2,048 tokens.
QWEN = Family(
  name="qwen",
  kind=CAUSAL_DECODER,
  paper="arXiv:2309.16609",
  year=2023,
  build=qwen,
  counted=ALL,
  reference="transformers.Qwen2ForCausalLM",
  sizes={
    "tiny": (None, TINY | dict(hidden=88, rope_base=10_000.0)),
    "1_8b": (
      1_836_828_672,
      dict(dim=2048, hidden=5504, heads=16, layers=24, rope_base=10_000.0),
    ),
    "7b": (
      7_721_324_544,
      dict(dim=4096, hidden=11_008, heads=32, layers=32, rope_base=10_000.0),
    ),
    "14b": (
      14_167_290_880,
      dict(
        dim=5120,
        hidden=13_696,
        heads=40,
        layers=40,
        vocab=152_064,
        rope_base=10_000.0,
      ),
    ),
  },
)

QWEN2_0_5B = dict(dim=896, hidden=4864, heads=14, kv_heads=2, layers=24, tied=True)
QWEN2_1_5B = dict(dim=1536, hidden=8960, heads=12, kv_heads=2, layers=28, tied=True)
QWEN2_7B = dict(dim=3584, hidden=18_944, heads=28, kv_heads=4, layers=28)
QWEN2_72B = dict(dim=8192, hidden=29_568, heads=64, kv_heads=8, layers=80)

QWEN2 = Family(
  name="qwen2",
  kind=CAUSAL_DECODER,
  paper="arXiv:2407.10671",
  year=2024,
  build=qwen,
  counted=TIED,
  reference="transformers.Qwen2ForCausalLM",
  sizes={
    "tiny": (None, TINY | dict(hidden=88, kv_heads=2, tied=True)),
    "0_5b": (494_032_768, QWEN2_0_5B),
    "1_5b": (1_543_714_304, QWEN2_1_5B),
    "7b": (7_615_616_512, QWEN2_7B | dict(vocab=152_064)),
    "72b": (72_706_203_648, QWEN2_72B | dict(vocab=152_064)),
  },
)

MISTRAL = Family(
  name="mistral",
  kind=CAUSAL_DECODER,
  paper="arXiv:2310.06825",
  year=2023,
  build=mistral,
  counted=ALL,
  reference="transformers.MistralForCausalLM",
  sizes={
    "tiny": (None, TINY | dict(hidden=88, kv_heads=2, window=6)),
    "7b": (
      7_241_732_096,
      dict(dim=4096, hidden=14_336, heads=32, kv_heads=8, layers=32),
    ),
  },
)

GEMMA = Family(
  name="gemma",
  kind=CAUSAL_DECODER,
  paper="arXiv:2403.08295",
  year=2024,
  build=gemma,
  counted=TIED,
  reference="transformers.GemmaForCausalLM",
  sizes={
    "tiny": (None, TINY | dict(hidden=88, kv_heads=1, head_dim=16)),
    "2b": (
      2_506_172_416,
      dict(dim=2048, hidden=16_384, heads=8, kv_heads=1, layers=18),
    ),
    "7b": (
      8_537_680_896,
      dict(dim=3072, hidden=24_576, heads=16, kv_heads=16, layers=28),
    ),
  },
)

# Published are 1.8B and 3.25B, multi-query attention, and no architecture: Gemma's, which
# is built on it. The shapes are ours.
GEMINI1 = Family(
  name="gemini1",
  kind=CAUSAL_DECODER,
  paper="arXiv:2312.11805, which publishes no architecture",
  year=2023,
  build=gemma,
  counted=TIED,
  reference="nothing: no architecture is published",
  sizes={
    "nano_1": (None, dict(dim=2048, hidden=8192, heads=8, kv_heads=1, layers=21)),
    "nano_2": (None, dict(dim=2560, hidden=10_240, heads=10, kv_heads=1, layers=28)),
  },
)

PARALLEL = (
  GPT_NEOX,
  PYTHIA,
  GPT_J,
  CODEGEN,
  FALCON,
  FALCON_TWO_NORMS,
  NEMOTRON4,
  PALM,
  U_PALM,
  PALM2,
  QWEN,
  QWEN2,
  MISTRAL,
  GEMMA,
  GEMINI1,
)

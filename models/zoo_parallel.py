"""Zoo: decoders whose attention and feed-forward layer stand side by side, and the
decoders released beside them. See zoo.py.

You are in: models. Data, no logic.
"""

from __future__ import annotations

from models.families.falcon import falcon, falcon_two_norms
from models.families.gpt_j import codegen, gpt_j
from models.families.gpt_neox import gpt_neox
from models.families.nemotron4 import nemotron4
from models.families.palm import palm, u_palm
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
)

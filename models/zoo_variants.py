"""Zoo: encoder-decoders after T5, and decoders that are neither GPT nor LLaMA. See zoo.py.

You are in: models. Data, no logic. Counts that were published in round numbers are
compared in tests/models/test_oracles_variants.py.
"""

from __future__ import annotations

from models.families.alexatm import alexatm
from models.families.alphacode import alphacode
from models.families.codet5_plus import codet5_plus
from models.families.cpm2 import cpm2
from models.families.glm import glm, glm_130b
from models.families.lamda import lamda
from models.families.t5 import t5
from models.families.transformer import transformer
from models.families.ul2 import ul2
from models.row import ALL, ENCODER_DECODER, PREFIX_DECODER, TIED, Family
from models.row import CAUSAL_DECODER as CAUSAL

TINY = dict(dim=32, hidden=64, heads=2, layers=2, vocab=2048)

TRANSFORMER = Family(
  name="transformer",
  kind=ENCODER_DECODER,
  paper="arXiv:1706.03762",
  year=2017,
  build=transformer,
  counted=TIED,
  reference="torch.nn.TransformerEncoderLayer and DecoderLayer",
  sizes={
    "tiny": (None, TINY),
    "base": (None, dict(dim=512, hidden=2048, heads=8, layers=6)),
    "big": (None, dict(dim=1024, hidden=4096, heads=16, layers=6)),
  },
)

# The released checkpoint unties the head; the paper says 19.5B and 20B.
UL2 = Family(
  name="ul2",
  kind=ENCODER_DECODER,
  paper="arXiv:2205.05131",
  year=2022,
  build=ul2,
  counted=ALL,
  reference="transformers.T5ForConditionalGeneration",
  sizes={
    "tiny": (None, TINY | dict(head_dim=16)),
    "20b": (
      19_591_209_984,
      dict(dim=4096, hidden=16_384, heads=16, head_dim=256, layers=32, vocab=32_128),
    ),
  },
)

CPM2_11B = dict(dim=4096, hidden=10_240, heads=64, head_dim=64, layers=24)
CPM2 = Family(
  name="cpm2",
  kind=ENCODER_DECODER,
  paper="arXiv:2106.10715",
  year=2021,
  build=cpm2,
  counted=ALL,
  reference="transformers.T5ForConditionalGeneration",
  sizes={
    "tiny": (None, TINY | dict(head_dim=16)),
    "11b_zh": (11_087_097_856, CPM2_11B | dict(vocab=26_240)),
    "11b": (None, CPM2_11B | dict(vocab=51_968)),
  },
)

CODET5_BASE = dict(dim=768, hidden=3072, heads=12, layers=12, vocab=32_100)
CODET5_LARGE = dict(dim=1024, hidden=4096, heads=16, layers=24, vocab=32_100)
CODET5 = Family(
  name="codet5",
  kind=ENCODER_DECODER,
  paper="arXiv:2109.00859",
  year=2021,
  build=t5,
  counted=TIED,
  reference="transformers.T5ForConditionalGeneration",
  sizes={
    "small": (
      60_492_288,
      dict(dim=512, hidden=2048, heads=8, layers=6, vocab=32_100),
    ),
    "base": (222_882_048, CODET5_BASE),
    "large": (737_639_424, CODET5_LARGE),
  },
)

CODET5_PLUS = Family(
  name="codet5_plus",
  kind=ENCODER_DECODER,
  paper="arXiv:2305.07922",
  year=2023,
  build=t5,
  counted=TIED,
  reference="transformers.T5ForConditionalGeneration",
  sizes={
    "220m": (222_882_048, CODET5_BASE),
    "770m": (737_639_424, CODET5_LARGE),
  },
)

# Named after their decoders; the encoder and the cross-attention are 0.3 to 0.5B more.
CODET5_PLUS_DEEP = Family(
  name="codet5_plus",
  kind=ENCODER_DECODER,
  paper="arXiv:2305.07922",
  year=2023,
  build=codet5_plus,
  counted=ALL,
  reference="its parts: CodeGen of transformers, and a block's equation",
  sizes={
    "tiny_deep": (
      None,
      dict(
        dim=32,
        heads=4,
        layers=3,
        rotary_dim=4,
        encoder_dim=16,
        encoder_heads=2,
        encoder_layers=2,
        encoder_rotary_dim=4,
        vocab=512,
      ),
    ),
    "2b": (None, dict(dim=2560, heads=32, layers=32)),
    "6b": (None, dict(dim=4096, heads=16, layers=33)),
    "16b": (None, dict(dim=6144, heads=24, layers=34)),
  },
)

ALPHACODE = Family(
  name="alphacode",
  kind=ENCODER_DECODER,
  paper="arXiv:2203.07814",
  year=2022,
  build=alphacode,
  counted=ALL,
  sizes={
    "tiny": (
      None,
      dict(
        dim=32,
        heads=2,
        kv_heads=1,
        head_dim=16,
        encoder_layers=2,
        layers=3,
        vocab=512,
      ),
    ),
    "300m": (None, dict(dim=768, heads=6, kv_heads=1, encoder_layers=4, layers=24)),
    "1b": (None, dict(dim=1408, heads=11, kv_heads=1, encoder_layers=5, layers=30)),
    "3b": (None, dict(dim=2048, heads=16, kv_heads=1, encoder_layers=6, layers=36)),
    "9b": (None, dict(dim=3072, heads=24, kv_heads=4, encoder_layers=8, layers=48)),
    "41b": (None, dict(dim=6144, heads=48, kv_heads=16, encoder_layers=8, layers=56)),
  },
)

ALEXATM = Family(
  name="alexatm",
  kind=ENCODER_DECODER,
  paper="arXiv:2208.01448",
  year=2022,
  build=alexatm,
  counted=ALL,
  reference="a transformers.MBartForConditionalGeneration with three tables",
  sizes={
    "tiny": (
      None,
      dict(dim=32, heads=2, layers=2, decoder_layers=3, vocab=512, length=512),
    ),
    "20b": (None, dict(dim=4096, heads=32, layers=46, decoder_layers=32)),
  },
)

LAMDA = Family(
  name="lamda",
  kind=CAUSAL,
  paper="arXiv:2201.08239",
  year=2022,
  build=lamda,
  counted=TIED,
  sizes={
    "tiny": (None, dict(dim=32, layers=2, head_dim=16, vocab=512)),
    "2b": (None, dict(dim=2560, layers=10)),
    "8b": (None, dict(dim=4096, layers=16)),
    "137b": (None, dict(dim=8192, layers=64)),
  },
)

# Names are the released models' sizes. GLM's own vocabularies are BERT's and GPT-2's with
# a few special tokens, padded to a multiple of 128.
GPT2_VOCABULARY = dict(length=1024, vocab=50_304)
GLM = Family(
  name="glm",
  kind=PREFIX_DECODER,
  paper="arXiv:2103.10360",
  year=2021,
  build=glm,
  counted=TIED,
  reference="NumPy, after the paper",
  sizes={
    "tiny": (None, dict(dim=32, heads=2, layers=2, vocab=512)),
    "base": (None, dict(dim=768, heads=12, layers=12)),
    "large": (None, dict(dim=1024, heads=16, layers=24)),
    "410m": (None, dict(dim=1024, heads=16, layers=30)),
    "515m": (None, dict(dim=1152, heads=18, layers=30)),
    "2b": (None, dict(dim=2048, heads=32, layers=36) | GPT2_VOCABULARY),
    "10b": (None, dict(dim=4096, heads=64, layers=48) | GPT2_VOCABULARY),
  },
)

GLM_130B = Family(
  name="glm_130b",
  kind=PREFIX_DECODER,
  paper="arXiv:2210.02414",
  year=2022,
  build=glm_130b,
  counted=TIED,
  reference="NumPy, after the paper",
  sizes={
    "tiny": (None, dict(dim=32, hidden=88, heads=2, layers=2, vocab=512)),
    "130b": (None, dict(dim=12_288, hidden=32_768, heads=96, layers=70)),
  },
)

VARIANTS = (
  TRANSFORMER,
  UL2,
  CPM2,
  CODET5,
  CODET5_PLUS,
  CODET5_PLUS_DEEP,
  ALPHACODE,
  ALEXATM,
  LAMDA,
  GLM,
  GLM_130B,
)

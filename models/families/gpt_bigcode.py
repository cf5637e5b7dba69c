"""SantaCoder (arXiv:2301.03988), StarCoder (arXiv:2305.06161): GPT-2, one key head."""

from models.components.model import Decoder
from models.components.spec import replace
from models.families.gpt2 import gpt2


def gpt_bigcode(
  *,
  layers: int,
  length: int = 8192,
  vocab: int = 49_152,
  act: str = "gelu_tanh",
  **sizes,
) -> Decoder:
  """Multi-query attention (Shazeer 2019, arXiv:1911.02150); the rest is `gpt2`.

  act: some released config.json files say "gelu", the exact one.
  """
  model = gpt2(layers=layers, length=length, vocab=vocab, **sizes)
  block = model.decoder.blocks[0]
  attention = replace(block.attention, kv_heads=1)
  block = replace(block, attention=attention, ffn=replace(block.ffn, act=act))
  return replace(model, decoder=replace(model.decoder, blocks=layers * (block,)))

"""Yuan 1.0 (Wu et al. 2021, arXiv:2110.04725): GPT-2's shape, with and without a prefix.

The causal model of the paper is `gpt2` itself; its PLM is here.
"""

from models.components.mask import PrefixCausal
from models.components.model import Decoder
from models.components.spec import replace
from models.families.gpt2 import gpt2


def yuan1_prefix(
  *, layers: int, length: int = 2048, vocab: int = 53_228, **sizes
) -> Decoder:
  """Tokens of the prefix see the whole prefix: the paper's "PLM"."""
  model = gpt2(layers=layers, length=length, vocab=vocab, **sizes)
  block = model.decoder.blocks[0]
  block = replace(block, attention=replace(block.attention, mask=PrefixCausal()))
  return replace(model, decoder=replace(model.decoder, blocks=layers * (block,)))

"""GPT-3 (Brown et al. 2020, arXiv:2005.14165): GPT-2 with a band in every other layer."""

import itertools

from models.components.mask import Windowed
from models.components.model import Decoder
from models.components.spec import replace
from models.families.gpt2 import gpt2


def gpt3(*, layers: int, band: int = 256, length: int = 2048, **sizes) -> Decoder:
  """Layers 0, 2, ... are dense, 1, 3, ... "locally banded sparse" (section 2.1).

  band: tokens that a banded layer sees. The paper does not say how many; 256 is what
  GPT-Neo chose.
  """
  model = gpt2(layers=layers, length=length, **sizes)
  dense = model.decoder.blocks[0]
  banded = replace(dense.attention, mask=Windowed(window=band))
  turns = itertools.cycle((dense, replace(dense, attention=banded)))
  blocks = tuple(itertools.islice(turns, layers))
  return replace(model, decoder=replace(model.decoder, blocks=blocks))

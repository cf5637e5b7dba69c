"""CPM-2 (Zhang et al. 2021, arXiv:2106.10715): T5.1.1's shapes, small initial values."""

from models.components.model import EncoderDecoder
from models.components.param import InitRule, Normal
from models.components.spec import replace
from models.families.t5 import t5_1_1


def cpm2(*, layers: int, **sizes) -> EncoderDecoder:
  """Kernels start at N(0, 1e-3^2), those that end a residual branch smaller still."""
  residual = Normal(std=1e-3 * (2 * layers) ** -0.5)
  return replace(
    t5_1_1(layers=layers, **sizes),
    init=(
      InitRule(pattern=r".*/(out|down)/kernel", init=residual),
      InitRule(pattern=r".*/kernel", init=Normal(std=1e-3)),
    ),
  )

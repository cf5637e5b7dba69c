"""MT-NLG (Smith et al. 2022, arXiv:2201.11990): GPT-2's shape, started smaller."""

from models.components.embed import Embed
from models.components.model import Decoder
from models.components.param import InitRule, Normal
from models.components.position import Learned
from models.components.spec import replace
from models.families.gpt2 import gpt2


def mt_nlg(
  *, dim: int, layers: int, length: int = 2048, vocab: int = 51_200, **sizes
) -> Decoder:
  """Everything starts at N(0, 1 / (3 dim)), which is 4.0e-3 at 530B; larger values did
  not converge, the paper says. Kernels that end a residual branch as in `gpt2`."""
  std = (3 * dim) ** -0.5
  model = gpt2(dim=dim, layers=layers, length=length, vocab=vocab, **sizes)
  residual = Normal(std=std * (2 * layers) ** -0.5)
  return replace(
    model,
    embed=Embed(std=std, position=Learned(length=length, std=std)),
    init=(
      InitRule(pattern=r".*/(out|down)/kernel", init=residual),
      InitRule(pattern=r".*/kernel", init=Normal(std=std)),
    ),
  )

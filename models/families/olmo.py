"""OLMo (Groeneveld et al. 2024, arXiv:2402.00838): LLaMA's blocks, norms that learn nothing."""

from models.components.model import Decoder
from models.components.norm import PlainLayerNorm, RMSNorm
from models.components.spec import swap
from models.families.llama import llama


def olmo(
  *,
  dim: int,
  hidden: int,
  heads: int,
  layers: int,
  vocab: int = 50_304,
  tied: bool = False,
  dropout: float = 0.0,
) -> Decoder:
  """Section 2.1: LayerNorm without factor or offset, no biases, SwiGLU, rotary positions."""
  model = llama(
    dim=dim,
    hidden=hidden,
    heads=heads,
    layers=layers,
    vocab=vocab,
    tied=tied,
    dropout=dropout,
  )
  return swap(model, RMSNorm, PlainLayerNorm())

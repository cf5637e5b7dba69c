"""Mistral 7B (Jiang et al. 2023, arXiv:2310.06825): LLaMA with a sliding window."""

from models.components.mask import Causal, Windowed
from models.components.model import Decoder
from models.components.spec import swap
from models.families.llama import llama


def mistral(*, window: int = 4096, **sizes) -> Decoder:
  """A token sees itself and the `window` - 1 before it in every layer (section 2). Later
  releases have no window: they are `llama`."""
  return swap(llama(**sizes), Causal, Windowed(window=window))

"""Gemini 1.5 (Gemini Team 2024, arXiv:2403.05530), as far as it is known.

The report says that it is a sparse mixture of experts built on Gemini 1 (section 3), and
publishes nothing else: no size, no number of experts, no router. So this is what we take
Gemini 1 for, `gemma` with one head of keys, with the experts and the router of Mixtral.
Rows in the zoo have shapes of ours.
"""

from models.components.ffn import GatedFFN
from models.components.model import Decoder
from models.components.moe import MoE
from models.components.routers import TopK
from models.components.spec import replace
from models.families.gemma import gemma


def gemini1_5(
  *,
  dim: int,
  hidden: int,
  heads: int,
  layers: int,
  kv_heads: int = 1,
  experts: int = 8,
  balance: float = 0.01,
  **sizes,
) -> Decoder:
  """hidden: of one expert. Two experts a token; balance: weight of each layer's balance
  loss. Every choice is ours."""
  model = gemma(
    dim=dim, hidden=hidden, heads=heads, kv_heads=kv_heads, layers=layers, **sizes
  )
  expert = GatedFFN(hidden=hidden, act="gelu_tanh")
  moe = MoE(experts=experts, expert=expert, router=TopK(k=2, balance=balance))
  block = replace(model.decoder.blocks[0], ffn=moe)
  return replace(model, decoder=replace(model.decoder, blocks=layers * (block,)))

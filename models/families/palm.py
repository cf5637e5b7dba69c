"""PaLM (Chowdhery et al. 2022, arXiv:2204.02311) and U-PaLM (arXiv:2210.11399).

Attention and a gated feed-forward layer side by side behind one norm, one head of keys
and values, rotary positions, no bias anywhere, a tied head.

PaLM 2 (arXiv:2305.10403) publishes no architecture but that it is a Transformer: its row
in the zoo is this one, with a size named in the report.
"""

from models.components.attention import Attention
from models.components.embed import Embed, Head
from models.components.ffn import GatedFFN
from models.components.mask import Causal, PrefixCausal
from models.components.model import Decoder
from models.components.norm import LayerNorm
from models.components.position import Rope
from models.components.residual import ParallelBlock
from models.components.spec import swap
from models.components.stack import Stack


def palm(
  *,
  dim: int,
  heads: int,
  layers: int,
  head_dim: int = 256,
  vocab: int = 256_000,
  dropout: float = 0.0,
) -> Decoder:
  """Section 2. Kernels start with variance 1 / fan-in and the table with 1, so logits are
  scaled by 1 / sqrt(dim) (section 5)."""
  norm = LayerNorm(bias=False)
  attention = Attention(heads=heads, kv_heads=1, head_dim=head_dim, position=Rope())
  ffn = GatedFFN(hidden=4 * dim)
  block = ParallelBlock(norm=norm, attention=attention, ffn=ffn)
  return Decoder(
    vocab=vocab,
    dim=dim,
    dropout=dropout,
    embed=Embed(),
    head=Head(tied=True, scale=dim**-0.5),
    decoder=Stack(blocks=layers * (block,), final_norm=norm),
  )


def u_palm(**sizes) -> Decoder:
  """PaLM's weights trained on with UL2's objectives: tokens of the inputs see all of
  them."""
  return swap(palm(**sizes), Causal, PrefixCausal())

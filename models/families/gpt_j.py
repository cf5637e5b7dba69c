"""GPT-J (Wang and Komatsuzaki 2021) and CodeGen (Nijkamp et al. 2022, arXiv:2203.13474).

Attention and feed-forward layer side by side behind one norm; neighbouring dimensions of
a part of each head are rotated; biases in the feed-forward layer and an untied head.
"""

from models.components.attention import Attention
from models.components.embed import Embed, Head
from models.components.ffn import FFN
from models.components.model import Decoder
from models.components.norm import LayerNorm
from models.components.param import InitRule, Normal
from models.components.position import PairedRope, PartialRope
from models.components.residual import ParallelBlock
from models.components.stack import Stack


def gpt_j(
  *,
  dim: int,
  heads: int,
  layers: int,
  rotary_dim: int = 64,
  vocab: int = 50_400,
  dropout: float = 0.0,
) -> Decoder:
  """Starts as in the released training code: kernels with variance 1 / fan-in, those that
  end a residual branch with deviation 2 / (layers sqrt(dim)), the table 1 / sqrt(vocab)."""
  attention = Attention(
    heads=heads,
    head_dim=dim // heads,
    position=PartialRope(dims=rotary_dim, rope=PairedRope()),
  )
  ffn = FFN(hidden=4 * dim, act="gelu_tanh", bias=True)
  block = ParallelBlock(norm=LayerNorm(), attention=attention, ffn=ffn)
  output = Normal(std=2 / (layers * dim**0.5))
  return Decoder(
    vocab=vocab,
    dim=dim,
    dropout=dropout,
    embed=Embed(std=vocab**-0.5),
    head=Head(bias=True),
    decoder=Stack(blocks=layers * (block,), final_norm=LayerNorm()),
    init=(InitRule(pattern=r"decoder/.*/(out|down)/kernel", init=output),),
  )


def codegen(*, vocab: int = 51_200, **sizes) -> Decoder:
  """GPT-J with a longer table; rotary_dim is 32 at 350M."""
  return gpt_j(vocab=vocab, **sizes)

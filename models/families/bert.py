"""The BERT line: encoders with learned positions, norms after each addition, biases.

BERT (Devlin et al. 2018, arXiv:1810.04805), RoBERTa (Liu et al. 2019, arXiv:1907.11692),
ALBERT (Lan et al. 2019, arXiv:1909.11942).
"""

from models.components.attention import Attention
from models.components.embed import Embed, Head
from models.components.encoder import DenseTransform, Encoder, Pooled
from models.components.factored import NarrowEmbed
from models.components.ffn import FFN
from models.components.mask import Full
from models.components.norm import LayerNorm
from models.components.param import InitRule, Normal
from models.components.position import Learned
from models.components.residual import PostBlock
from models.components.shared_stack import SharedStack
from models.components.spec import replace
from models.components.stack import Stack

KERNELS = (InitRule(pattern=r".*/kernel", init=Normal(std=0.02)),)
NEXT_SENTENCE = Pooled(label="next_sentence")
SENTENCE_ORDER = Pooled(label="sentence_order")


def bert(
  *,
  dim: int,
  heads: int,
  layers: int,
  hidden: int | None = None,
  length: int = 512,
  vocab: int = 30_522,
  types: int = 2,
  eps: float = 1e-12,
  act: str = "gelu",
  dropout: float = 0.0,
) -> Encoder:
  """Masked tokens by the tied table, and whether the second sentence follows the first."""
  norm = LayerNorm(eps=eps)
  block = PostBlock(
    norm=norm,
    attention=Attention(heads=heads, head_dim=dim // heads, bias=True, mask=Full()),
    ffn=FFN(hidden=hidden or 4 * dim, act=act, bias=True),
  )
  position = Learned(length=length)
  return Encoder(
    vocab=vocab,
    dim=dim,
    dropout=dropout,
    embed=Embed(std=0.02, position=position, types=types, norm=norm),
    encoder=Stack(blocks=layers * (block,)),
    head=Head(tied=True, bias=True, transform=DenseTransform(act=act, norm=norm)),
    pooled=(NEXT_SENTENCE,),
    init=KERNELS,
  )


def roberta(*, length: int = 512, vocab: int = 50_265, **sizes) -> Encoder:
  """BERT on masked tokens alone; two rows of its position table are never read."""
  model = bert(length=length + 2, vocab=vocab, types=1, eps=1e-5, **sizes)
  position = Learned(length=length + 2, offset=2)
  return replace(model, embed=replace(model.embed, position=position), pooled=())


def albert(*, narrow: int = 128, vocab: int = 30_000, **sizes) -> Encoder:
  """One block for all layers, tables `narrow` features wide, order of two sentences."""
  model = bert(vocab=vocab, act="gelu_tanh", **sizes)
  return replace(
    model,
    embed=NarrowEmbed(
      width=narrow,
      std=0.02,
      position=model.embed.position,
      types=model.embed.types,
      norm=model.embed.norm,
    ),
    encoder=SharedStack(blocks=model.encoder.blocks),
    head=replace(model.head, transform=replace(model.head.transform, width=narrow)),
    pooled=(SENTENCE_ORDER,),
  )

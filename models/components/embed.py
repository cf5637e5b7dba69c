"""Embedding and head: ids to vectors, vectors to scores over the vocabulary.

You are in: models/components. The head hands out its weights instead of logits when a
loss asks (`HeadWeights`): a loss that never stores all logits needs far less memory.

Shapes: B batch, T tokens, D embed, V vocab.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
from flax import nnx

from models.components.context import Context
from models.components.param import Constant, FanIn, Normal, declare
from models.components.position import Learned, Sinusoidal
from models.components.spec import spec


@spec
class Embed:
  """norm(scale * token table [vocab, embed], N(0, std^2), + positions + types).

  scale: dim**0.5 in the Transformer and Gemma. position: added to the tokens' vectors.
  types: rows of a second table, chosen by `*_token_types` of the batch (BERT's
  segments, arXiv:1810.04805, figure 2). norm: on the sum (BERT, BLOOM).
  """

  std: float = 1.0
  position: Learned | Sinusoidal | None = None
  scale: float = 1.0
  types: int | None = None
  norm: object = None

  def build(self, vocab: int, dim: int) -> EmbedLayer:
    return EmbedLayer(self, vocab, dim)


class EmbedLayer(nnx.Module):
  """tokens_BT -> x_BTD in the compute dtype."""

  def __init__(self, spec: Embed, vocab: int, dim: int):
    self.embedding = declare((vocab, dim), ("vocab", "embed"), Normal(std=spec.std))
    self.scale = spec.scale
    self.position = spec.position.build(dim) if spec.position else None
    shape, axes = (spec.types or 0, dim), ("token_types", "embed")
    self.types = declare(shape, axes, Normal(std=spec.std)) if spec.types else None
    self.norm = spec.norm.build(dim) if spec.norm else None

  def __call__(self, tokens_BT: jax.Array, ctx: Context) -> jax.Array:
    """Without types in `ctx`, every token is of type 0."""
    # Rows are looked up where the table's columns are, and brought together afterwards:
    # left to itself, XLA looks up every row of the batch on every device.
    x_BTD = ctx.constrain(self.vectors(tokens_BT), ("batch", "length", "features"))
    if self.scale != 1.0:
      x_BTD = x_BTD * self.scale
    if self.position is not None:
      x_BTD = x_BTD + self.places(ctx)
    if self.types is not None:
      x_BTD = x_BTD + self.types[...][0 if ctx.types_BT is None else ctx.types_BT]
    x_BTD = x_BTD.astype(jnp.dtype(ctx.execution.compute_dtype))
    return x_BTD if self.norm is None else self.norm(x_BTD)

  def places(self, ctx: Context) -> jax.Array:
    """Vectors of where tokens stand, [B, T, D]."""
    return self.position(ctx.positions_BT)

  def vectors(self, tokens_BT: jax.Array) -> jax.Array:
    """The tokens' own vectors, as wide as the residual stream."""
    return self.embedding[...][tokens_BT]


@spec
class Head:
  """Scores over the vocabulary: an own kernel, or the embedding table (tied).

  scale: factor on the input of the product; T5 v1.0 uses dim**-0.5 with its tied table.
  bias: one number an id (GPT-J, BERT). transform: what hidden states pass before the
  product, a spec whose layer maps x_BTD to the width of the table (BERT's dense layer).
  """

  tied: bool = False
  scale: float = 1.0
  std: float | None = None
  bias: bool = False
  transform: object = None

  def build(self, vocab: int, dim: int) -> HeadLayer | None:
    """None where the head has no parameter of its own."""
    own = not self.tied or self.bias or self.transform is not None
    return HeadLayer(self, vocab, dim) if own else None


class HeadLayer(nnx.Module):
  """Kernel [embed, vocab] unless tied, bias [vocab], transform."""

  def __init__(self, spec: Head, vocab: int, dim: int):
    init = FanIn() if spec.std is None else Normal(std=spec.std)
    shape, axes = (dim, vocab), ("embed", "vocab")
    self.kernel = None if spec.tied else declare(shape, axes, init)
    zero = Constant(value=0.0)
    self.bias = declare((vocab,), ("vocab",), zero) if spec.bias else None
    self.transform = spec.transform.build(dim) if spec.transform else None


@dataclasses.dataclass(frozen=True)
class HeadWeights:
  """logits = (scale * x_BTD) . kernel [+ bias_V], contracting its axis `embed_axis`."""

  kernel: jax.Array
  embed_axis: int
  scale: float
  bias: jax.Array | None = None

  def logits(self, x_BTD: jax.Array) -> jax.Array:
    """float32 [B, T, V]."""
    x_BTD = x_BTD * jnp.asarray(self.scale, x_BTD.dtype)
    contract = (((x_BTD.ndim - 1,), (self.embed_axis,)), ((), ()))
    scores = jax.lax.dot_general(
      x_BTD,
      self.kernel.astype(x_BTD.dtype),
      contract,
      preferred_element_type=jnp.float32,
    )
    return scores if self.bias is None else scores + self.bias

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

from models.components.param import FanIn, Normal, declare
from models.components.position import Learned
from models.components.spec import spec


@spec
class Embed:
  """Token table [vocab, embed], N(0, std^2), plus learned positions if any."""

  std: float = 1.0
  position: Learned | None = None

  def build(self, vocab: int, dim: int) -> EmbedLayer:
    return EmbedLayer(self, vocab, dim)


class EmbedLayer(nnx.Module):
  """tokens_BT -> x_BTD in the compute dtype."""

  def __init__(self, spec: Embed, vocab: int, dim: int):
    self.embedding = declare((vocab, dim), ("vocab", "embed"), Normal(std=spec.std))
    self.position = spec.position.build(dim) if spec.position else None

  def __call__(
    self, tokens_BT: jax.Array, positions_BT: jax.Array, dtype: object
  ) -> jax.Array:
    x_BTD = self.embedding[...][tokens_BT]
    if self.position is not None:
      x_BTD = x_BTD + self.position(positions_BT)
    return x_BTD.astype(dtype)


@spec
class Head:
  """Scores over the vocabulary: an own kernel, or the embedding table (tied).

  scale: factor on the input of the product; T5 v1.0 uses dim**-0.5 with its tied table.
  """

  tied: bool = False
  scale: float = 1.0
  std: float | None = None

  def build(self, vocab: int, dim: int) -> HeadLayer | None:
    return None if self.tied else HeadLayer(self, vocab, dim)


class HeadLayer(nnx.Module):
  """Kernel [embed, vocab]."""

  def __init__(self, spec: Head, vocab: int, dim: int):
    init = FanIn() if spec.std is None else Normal(std=spec.std)
    self.kernel = declare((dim, vocab), ("embed", "vocab"), init)


@dataclasses.dataclass(frozen=True)
class HeadWeights:
  """logits = (scale * x_BTD) . kernel, contracting its axis `embed_axis`."""

  kernel: jax.Array
  embed_axis: int
  scale: float

  def logits(self, x_BTD: jax.Array) -> jax.Array:
    """float32 [B, T, V]."""
    x_BTD = x_BTD * jnp.asarray(self.scale, x_BTD.dtype)
    contract = (((x_BTD.ndim - 1,), (self.embed_axis,)), ((), ()))
    return jax.lax.dot_general(
      x_BTD,
      self.kernel.astype(x_BTD.dtype),
      contract,
      preferred_element_type=jnp.float32,
    )

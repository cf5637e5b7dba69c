"""Factored embedding: a token table narrower than the residual stream.

You are in: models/components. The table has `width` features, one matrix widens a
token's vector to the stream and another narrows hidden states before a tied head
(OPT-350M, released model code; the idea is Lan et al. 2020, arXiv:1909.11942, 3.1).

Shapes: B batch, T tokens, V vocab, D embed.
"""

from __future__ import annotations

import jax

from models.components.context import Context
from models.components.dense import Dense
from models.components.embed import Embed, EmbedLayer
from models.components.param import Normal, declare, relabeled
from models.components.spec import spec


@spec
class FactoredEmbed(Embed):
  """`Embed` with a table [V, width] and a kernel [width, D] behind it.

  Positions, types and the norm are as wide as the stream.
  """

  width: int

  def build(self, vocab: int, dim: int) -> FactoredEmbedLayer:
    return FactoredEmbedLayer(self, vocab, dim)


class FactoredEmbedLayer(EmbedLayer):
  """The parts of `Embed`, and `widen`."""

  def __init__(self, spec: FactoredEmbed, vocab: int, dim: int):
    super().__init__(spec, vocab, dim)
    shape, axes = (vocab, spec.width), ("vocab", "latent")
    self.embedding = declare(shape, axes, Normal(std=spec.std))
    self.widen = Dense({"latent": spec.width}, {"embed": dim})

  def vectors(self, tokens_BT: jax.Array) -> jax.Array:
    return self.widen(self.embedding[...][tokens_BT])


@spec
class Projection:
  """x W with a kernel [D, width]: a `Head.transform` for a narrow tied table."""

  width: int

  def build(self, dim: int) -> Dense:
    return Dense({"embed": dim}, {"latent": self.width})


@spec
class NarrowEmbed(Embed):
  """`Embed` of `width` features, positions, types and norm included, and a kernel with
  bias behind all of it (ALBERT, Lan et al. 2019, arXiv:1909.11942, section 3.1)."""

  width: int

  def build(self, vocab: int, dim: int) -> NarrowEmbedLayer:
    return NarrowEmbedLayer(self, vocab, dim)


class NarrowEmbedLayer(EmbedLayer):
  """The parts of `Embed` at that width, and `widen`."""

  def __init__(self, spec: NarrowEmbed, vocab: int, dim: int):
    super().__init__(spec, vocab, spec.width)
    relabeled(self, {"embed": "latent"})
    self.widen = Dense({"latent": spec.width}, {"embed": dim}, bias=True)

  def __call__(self, tokens_BT: jax.Array, ctx: Context) -> jax.Array:
    return self.widen(super().__call__(tokens_BT, ctx))

"""Residual layouts: where norms stand and what is added, as blocks beside `Block`.

You are in: models/components. Each is a spec with the call of `Block` and the names of
its parts, so that swaps, sharding rules and imports find them alike. sub_norm.py has one
more, with norms inside the parts.

Shapes: x_BTD -> (x_BTD, cache, aux).
"""

from __future__ import annotations

import jax

from models.components.block import Block, BlockLayer, Part
from models.components.context import Context
from models.components.ffn import with_aux
from models.components.spec import spec


@spec
class PostBlock(Block):
  """norm(x + f(x)) (Vaswani et al. 2017, arXiv:1706.03762, section 3.1)."""

  def build(self, dim: int) -> PostBlockLayer:
    return PostBlockLayer(self, dim)


class PostBlockLayer(BlockLayer):
  """The parts of `Block`; every norm stands after the addition."""

  def residual(
    self, x_BTD: jax.Array, name: str, part: Part, ctx: Context
  ) -> tuple[jax.Array, object]:
    y_BTD, rest = part(x_BTD)
    norm = getattr(self, f"{name}_norm")
    return norm(x_BTD + ctx.drop(y_BTD, name)), rest


@spec
class DeepNormBlock(Block):
  """norm(alpha x + f(x)) (Wang et al. 2022, arXiv:2203.00555, section 3).

  alpha: (2 N)^(1/4) for a decoder or an encoder alone of N layers in the paper,
  (2 N)^(1/2) in GLM-130B (arXiv:2210.02414, section 2.1). The factor beta on initial
  kernels that goes with it is an `InitRule` of the family.
  """

  alpha: float

  def build(self, dim: int) -> DeepNormBlockLayer:
    return DeepNormBlockLayer(self, dim)


class DeepNormBlockLayer(BlockLayer):
  """The parts of `Block`."""

  def __init__(self, spec: DeepNormBlock, dim: int):
    super().__init__(spec, dim)
    self.alpha = spec.alpha

  def residual(
    self, x_BTD: jax.Array, name: str, part: Part, ctx: Context
  ) -> tuple[jax.Array, object]:
    y_BTD, rest = part(x_BTD)
    norm = getattr(self, f"{name}_norm")
    return norm(self.alpha * x_BTD + ctx.drop(y_BTD, name)), rest


@spec
class ScaledBlock(Block):
  """x + branch * f(norm(x)) (Dey et al. 2025, arXiv:2505.01618, table 1).

  branch: 1 / layers, or a small model's layers divided by this one's.
  """

  branch: float

  def build(self, dim: int) -> ScaledBlockLayer:
    return ScaledBlockLayer(self, dim)


class ScaledBlockLayer(BlockLayer):
  """The parts of `Block`."""

  def __init__(self, spec: ScaledBlock, dim: int):
    super().__init__(spec, dim)
    self.branch = spec.branch

  def residual(
    self, x_BTD: jax.Array, name: str, part: Part, ctx: Context
  ) -> tuple[jax.Array, object]:
    y_BTD, rest = part(getattr(self, f"{name}_norm")(x_BTD))
    return x_BTD + self.branch * ctx.drop(y_BTD, name), rest


@spec
class SandwichBlock(Block):
  """x + norm'(f(norm(x))) (CogView, Ding et al. 2021, arXiv:2105.13290, section 2.4)."""

  def build(self, dim: int) -> SandwichBlockLayer:
    return SandwichBlockLayer(self, dim)


class SandwichBlockLayer(BlockLayer):
  """The parts of `Block`, and <part>_post_norm for each."""

  def __init__(self, spec: SandwichBlock, dim: int):
    super().__init__(spec, dim)
    self.attention_post_norm = spec.norm.build(dim)
    self.cross_post_norm = spec.norm.build(dim) if spec.cross else None
    self.ffn_post_norm = spec.norm.build(dim)

  def residual(
    self, x_BTD: jax.Array, name: str, part: Part, ctx: Context
  ) -> tuple[jax.Array, object]:
    y_BTD, rest = part(getattr(self, f"{name}_norm")(x_BTD))
    y_BTD = getattr(self, f"{name}_post_norm")(y_BTD)
    return x_BTD + ctx.drop(y_BTD, name), rest


@spec
class ParallelBlock(Block):
  """x + attention(h) + ffn(h), h = norm(x): one norm for both.

  GPT-J (Wang and Komatsuzaki 2021), PaLM (arXiv:2204.02311, section 2). It has no
  cross-attention.
  """

  def __post_init__(self):
    if self.cross is not None:
      raise ValueError(
        f"{type(self).__name__}.cross is not defined: it has no place for "
        "cross-attention. Use ParallelCrossBlock, or block.Block, in a decoder that has "
        "an encoder."
      )

  def build(self, dim: int) -> ParallelBlockLayer:
    return ParallelBlockLayer(self, dim)


class ParallelBlockLayer(BlockLayer):
  """The parts of `Block` without `ffn_norm`; the one norm is `attention_norm`."""

  def __init__(self, spec: ParallelBlock, dim: int):
    super().__init__(spec, dim)
    self.ffn_norm = None

  def __call__(
    self, x_BTD: jax.Array, ctx: Context, cache: dict | None = None
  ) -> tuple[jax.Array, dict | None, dict]:
    cache = dict(cache) if cache is not None else {}
    h_BTD = self.attention_norm(x_BTD)
    a_BTD, self_cache = self.attention(h_BTD, ctx, cache.get("self"))
    f_BTD, aux = with_aux(self.ffn(self.ffn_input(x_BTD, h_BTD), ctx))
    x_BTD = x_BTD + ctx.drop(a_BTD, "attention") + ctx.drop(f_BTD, "ffn")
    x_BTD = ctx.constrain(x_BTD, ("batch", "length", "embed"))
    return x_BTD, ({**cache, "self": self_cache} if cache else None), aux

  def ffn_input(self, x_BTD: jax.Array, h_BTD: jax.Array) -> jax.Array:
    """What the feed-forward reads: the same as attention."""
    return h_BTD


@spec
class TwoNormParallelBlock(ParallelBlock):
  """x + attention(norm(x)) + ffn(norm'(x)) (GPT-NeoX-20B, arXiv:2204.06745, 2.1.2)."""

  def build(self, dim: int) -> TwoNormParallelBlockLayer:
    return TwoNormParallelBlockLayer(self, dim)


class TwoNormParallelBlockLayer(ParallelBlockLayer):
  """The parts of `Block`."""

  def __init__(self, spec: TwoNormParallelBlock, dim: int):
    super().__init__(spec, dim)
    self.ffn_norm = spec.norm.build(dim)

  def ffn_input(self, x_BTD: jax.Array, h_BTD: jax.Array) -> jax.Array:
    return self.ffn_norm(x_BTD)


@spec
class ParallelCrossBlock(ParallelBlock):
  """y + cross(norm'(y)), y = x + attention(h) + ffn(h), h = norm(x): the top layer of
  CodeT5+'s deep decoders (arXiv:2305.07922, section 3.3, which does not say the order)."""

  def __post_init__(self):
    if self.cross is None:
      raise ValueError("ParallelCrossBlock needs cross; without it, use ParallelBlock.")

  def build(self, dim: int) -> ParallelCrossBlockLayer:
    return ParallelCrossBlockLayer(self, dim)


class ParallelCrossBlockLayer(ParallelBlockLayer):
  """The parts of `ParallelBlock`, and `cross` behind `cross_norm`."""

  def __call__(
    self, x_BTD: jax.Array, ctx: Context, cache: dict | None = None
  ) -> tuple[jax.Array, dict | None, dict]:
    keys = None if cache is None else cache.get("cross")
    x_BTD, cache, aux = super().__call__(x_BTD, ctx, cache)
    x_BTD, _ = self.residual(x_BTD, "cross", lambda h: self.cross(h, ctx, keys), ctx)
    return ctx.constrain(x_BTD, ("batch", "length", "embed")), cache, aux

"""Block: one layer of a stack. Pre-norm: x + f(norm(x)) for each part in turn.

You are in: models/components. Another residual layout is another spec with the same
call, not a flag here.

Shapes: x_BTD -> (x_BTD, cache, aux).
"""

from __future__ import annotations

from collections.abc import Callable

import jax
from flax import nnx

from models.components.attention import Attention, CrossAttention
from models.components.context import Context
from models.components.ffn import with_aux
from models.components.spec import spec

Part = Callable[[jax.Array], tuple[jax.Array, object]]


@spec
class Block:
  """norm, attention, [cross-attention,] feed-forward; each added to the residual."""

  norm: object
  attention: Attention
  cross: CrossAttention | None = None
  ffn: object

  def build(self, dim: int) -> BlockLayer:
    return BlockLayer(self, dim)


class BlockLayer(nnx.Module):
  """Every part returns a tensor like x; `aux` maps names of extra losses to scalars."""

  def __init__(self, spec: Block, dim: int):
    self.attention_norm = spec.norm.build(dim)
    self.attention = spec.attention.build(dim)
    self.cross_norm = spec.norm.build(dim) if spec.cross else None
    self.cross = spec.cross.build(dim) if spec.cross else None
    self.ffn_norm = spec.norm.build(dim)
    self.ffn = spec.ffn.build(dim)

  def __call__(
    self, x_BTD: jax.Array, ctx: Context, cache: dict | None = None
  ) -> tuple[jax.Array, dict | None, dict]:
    cache = dict(cache) if cache is not None else {}
    x_BTD, self_cache = self.residual(
      x_BTD, "attention", lambda h: self.attention(h, ctx, cache.get("self")), ctx
    )
    if self.cross is not None:
      x_BTD, _ = self.residual(
        x_BTD, "cross", lambda h: self.cross(h, ctx, cache.get("cross")), ctx
      )
    x_BTD, aux = self.residual(x_BTD, "ffn", lambda h: with_aux(self.ffn(h, ctx)), ctx)
    x_BTD = ctx.constrain(x_BTD, ("batch", "length", "embed"))
    return x_BTD, ({**cache, "self": self_cache} if cache else None), aux

  def residual(
    self, x_BTD: jax.Array, name: str, part: Part, ctx: Context
  ) -> tuple[jax.Array, object]:
    """x + part(norm(x)), and what else the part returns."""
    y_BTD, rest = part(getattr(self, f"{name}_norm")(x_BTD))
    return x_BTD + ctx.drop(y_BTD, name), rest

  def empty_cache(self, batch: int, length: int, dtype: object) -> dict:
    """Shapes of this layer's self-attention cache, for `length` generated tokens."""
    return self.attention.empty_cache(batch, length, dtype)

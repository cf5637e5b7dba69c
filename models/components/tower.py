"""Tower: layers that several tasks share, and narrower ones that belong to one task.

You are in: models/components, beside stack.py, with the same calls. ERNIE 3.0 (Sun et al.
2021, arXiv:2107.02137, section 3.1) trains one universal stack under two modules: one
that understands and one that generates. Here each task is a model of its own; what they
share has the same path below `encoder` or `decoder`, `universal/`, and
`models.transforms.inherit` carries it from one to the other.

Shapes: B batch, T tokens, D embed, W width of the task's layers.
"""

from __future__ import annotations

import dataclasses

import jax
from flax import nnx

from models.components.context import Context
from models.components.dense import Dense
from models.components.spec import spec
from models.components.stack import Stack, added


@spec
class Tower:
  """`universal` as wide as the residual stream, then a projection to `width` features,
  then `task`, as wide as that."""

  universal: Stack
  task: Stack
  width: int

  @property
  def blocks(self) -> tuple:
    """All blocks, from the bottom."""
    return self.universal.blocks + self.task.blocks

  @property
  def position(self) -> object:
    """The bias that all layers of a stack share, or None."""
    return self.universal.position or self.task.position

  def build(self, dim: int) -> TowerLayer:
    return TowerLayer(self, dim)


class TowerLayer(nnx.Module):
  """x_BTD -> ([B, T, W], cache, aux), as `StackLayer`."""

  def __init__(self, spec: Tower, dim: int):
    self.universal = spec.universal.build(dim)
    self.project = Dense({"embed": dim}, {"latent": spec.width})
    self.task = spec.task.build(spec.width)

  def __call__(
    self, x_BTD: jax.Array, ctx: Context, cache: dict | None = None
  ) -> tuple[jax.Array, dict | None, dict]:
    low, high = (_part(cache, name) for name in ("universal", "task"))
    x_BTD, low, below = self.universal(x_BTD, ctx, low)
    if ctx.key is not None:
      # Layers of both stacks are numbered from 0; their dropout must not be the same.
      ctx = dataclasses.replace(ctx, key=jax.random.fold_in(ctx.key, 2))
    x_BTW, high, above = self.task(self.project(x_BTD), ctx, high)
    new_cache = None if cache is None else _joined(low, high)
    return x_BTW, new_cache, added(below, above)

  def empty_cache(self, batch: int, length: int, dtype: object) -> dict:
    """Zeroed caches of both stacks, flat: "universal/blocks_0" and so on."""
    stacks = (self.universal, self.task)
    return _joined(*(stack.empty_cache(batch, length, dtype) for stack in stacks))


def width(stack: object, dim: int) -> int:
  """Features of what a stack of a model with `dim` features puts out."""
  return stack.width if isinstance(stack, Tower) else dim


def _part(cache: dict | None, owner: str) -> dict | None:
  if cache is None:
    return None
  prefix = f"{owner}/"
  return {
    path.removeprefix(prefix): value
    for path, value in cache.items()
    if path.startswith(prefix)
  }


def _joined(universal: dict, task: dict) -> dict:
  return {f"universal/{name}": value for name, value in universal.items()} | {
    f"task/{name}": value for name, value in task.items()
  }

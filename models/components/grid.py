"""Grid: positions of a text or an image laid out in rows and columns.

You are in: models/components. A position of the embedding, beside `position.Learned`.

Shapes: B batch, T tokens, D embed.
"""

from __future__ import annotations

import math

import jax
from flax import nnx

from models.components.param import Normal, declare
from models.components.spec import spec


@spec
class Grid:
  """One table an axis of `shape`, the last varying fastest; their sum is added to the
  token embeddings (Child et al. 2019, arXiv:1904.10509, section 5.3).

  (96, 128) is a text in rows of 128, (64, 64, 3) the bytes of an image.
  """

  shape: tuple[int, ...]
  std: float = 0.02

  @property
  def length(self) -> int:
    """Tokens of the longest row of a batch."""
    return math.prod(self.shape)

  def build(self, dim: int) -> GridLayer:
    return GridLayer(self, dim)


class GridLayer(nnx.Module):
  """positions_BT -> [B, T, D]. Tables: axis_0, axis_1, ..."""

  def __init__(self, spec: Grid, dim: int):
    self.spec = spec
    for number, size in enumerate(spec.shape):
      table = declare((size, dim), ("abspos_buckets", "embed"), Normal(std=spec.std))
      setattr(self, f"axis_{number}", table)

  def __call__(self, positions_BT: jax.Array) -> jax.Array:
    self.check(positions_BT.shape[1])
    total_BTD, rest_BT = 0.0, positions_BT
    for number, size in reversed(list(enumerate(self.spec.shape))):
      total_BTD = total_BTD + getattr(self, f"axis_{number}")[...][rest_BT % size]
      rest_BT = rest_BT // size
    return total_BTD

  def check(self, tokens: int) -> None:
    """ValueError for rows longer than the grid."""
    if tokens > self.spec.length:
      raise ValueError(
        f"A row of {tokens} tokens does not fit Grid.shape={self.spec.shape}, which has "
        f"{self.spec.length} places. Shorten rows (TASK_FEATURE_LENGTHS) or enlarge it."
      )

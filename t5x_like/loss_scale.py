"""Dynamic loss scaling: keeps small float16 gradients from vanishing.

You are in: t5x_like. A spec holds the rule, a `Scale` what it remembers between steps.
The scale doubles after enough good steps in a row and halves when a gradient overflows.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp


class Scale(NamedTuple):
  """scale: float32 scalar. good: int32 scalar, finite steps since it last changed.

  period: int32 scalar, good steps after which the scale grows.
  """

  scale: jax.Array
  good: jax.Array
  period: jax.Array


@dataclasses.dataclass(frozen=True, kw_only=True)
class DynamicLossScale:
  """A fixed period (Micikevicius et al. 2018, arXiv:1710.03740, section 3.2)."""

  initial: float = 2.0**15
  factor: float = 2.0
  period: int = 2000
  min: float = 1.0

  def __post_init__(self):
    _check(self)

  def start(self) -> Scale:
    """The state before the first step."""
    return _start(self)

  def update(self, old: Scale, finite: jax.Array) -> Scale:
    """The state after a step whose gradients were all `finite` (bool scalar)."""
    scale, good, _ = _moved(self, old, finite)
    return Scale(scale, good, old.period)


@dataclasses.dataclass(frozen=True, kw_only=True)
class WindowedLossScale:
  """The period grows and shrinks with the scale (OPT, arXiv:2205.01068)."""

  initial: float = 4.0
  factor: float = 2.0
  period: int = 256
  min: float = 2.0**-5

  def __post_init__(self):
    _check(self)

  def start(self) -> Scale:
    """The state before the first step."""
    return _start(self)

  def update(self, old: Scale, finite: jax.Array) -> Scale:
    """The state after a step whose gradients were all `finite` (bool scalar)."""
    scale, good, ratio = _moved(self, old, finite)
    period = jnp.maximum(jnp.round(old.period * ratio), 1).astype(jnp.int32)
    return Scale(scale, good, period)


def _start(spec: DynamicLossScale | WindowedLossScale) -> Scale:
  return Scale(jnp.float32(spec.initial), jnp.int32(0), jnp.int32(spec.period))


def _moved(
  spec: DynamicLossScale | WindowedLossScale, old: Scale, finite: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
  """New scale, good steps, and the ratio of new to old scale."""
  good = jnp.where(finite, old.good + 1, 0)
  grows = good >= old.period
  up = jnp.where(grows, old.scale * spec.factor, old.scale)
  # The largest power of two: one more doubling often enough would reach infinity.
  up = jnp.minimum(up, 2.0**127)
  down = jnp.maximum(old.scale / spec.factor, spec.min)
  scale = jnp.where(finite, up, down)
  return scale, jnp.where(grows, 0, good), scale / old.scale


def _check(spec: DynamicLossScale | WindowedLossScale) -> None:
  name = type(spec).__name__
  if not 0 < spec.min <= spec.initial:
    raise ValueError(
      f"{name}.initial={spec.initial} and min={spec.min} must be 0 < min <= initial; "
      "raise initial or lower min."
    )
  if spec.factor <= 1 or spec.period < 1:
    raise ValueError(
      f"{name}.factor={spec.factor} must exceed 1 and period={spec.period} be positive; "
      "use factor=2.0 and a period of steps."
    )

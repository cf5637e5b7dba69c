"""Dynamic loss scaling: keeps the small numbers of float16's backward pass from vanishing.

You are in: t5x_like, pure (JAX). Upstream: `run.Run.loss_scale`. A spec holds the rule, a
`Scale` (a part of `TrainState.extra`) what it remembers between steps. step.py multiplies
the loss by the scale and divides the summed gradients by it in float32; a step whose
gradients are not finite changes no parameter, but it does change the scale.

Losses are summed over the tokens of a microbatch here, as in metaseq, so scales come out
smaller than where the mean is scaled; a start that is too high costs some skipped steps.
The output layer's gradients are formed with the loss, before its scale (losses.py): there
a probability under 6e-8 counts as 0.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp

HIGHEST = 2.0**127  # one more doubling would be infinite
LONGEST = 2**30  # of a period that doubles with the scale: an int32


class Scale(NamedTuple):
  """scale: float32 scalar. good: int32 scalar, finite steps since the last overflow.

  period: int32 scalar, the scale grows whenever `good` is a multiple of it.
  """

  scale: jax.Array
  good: jax.Array
  period: jax.Array


@dataclasses.dataclass(frozen=True, kw_only=True)
class Dynamic:
  """Up by `factor` after every `period` finite steps in a row, down at an overflow
  (Micikevicius et al. 2018, arXiv:1710.03740, section 3.2).

  lowest: the scale falls no further, and an overflow there ends the run: nothing would
  be trained. By default where float16 has no number for the gradient 1 of a loss.
  """

  initial: float = 2.0**15
  factor: float = 2.0
  period: int = 2000
  lowest: float = 2.0**-24

  def __post_init__(self):
    name = type(self).__name__
    if not 0 < self.lowest <= self.initial <= HIGHEST:
      raise ValueError(
        f"{name}.initial={self.initial} must lie between lowest={self.lowest}, which is "
        "above 0, and 2**127."
      )
    if self.factor <= 1:
      raise ValueError(f"{name}.factor={self.factor} must be above 1, e.g. 2.0.")
    if self.period < 1:
      raise ValueError(
        f"{name}.period={self.period} must be a positive number of steps."
      )

  def start(self) -> Scale:
    """The state before the first step."""
    scale, period = jnp.float32(self.initial), jnp.int32(self.period)
    return Scale(scale, jnp.zeros((), jnp.int32), period)

  def update(self, old: Scale, finite: jax.Array) -> Scale:
    """The state after a step; `finite` (bool scalar): all of its gradients were."""
    good = jnp.where(finite, old.good + 1, 0)
    grows = finite & (good % old.period == 0)
    up = jnp.where(grows, jnp.minimum(old.scale * self.factor, HIGHEST), old.scale)
    down = old.scale / self.factor
    down = jnp.where(down < self.lowest, old.scale, down)
    period = self._period(old.period, finite, grows)
    return Scale(jnp.where(finite, up, down), good, period)

  def check(self, metrics: dict[str, jax.Array]) -> None:
    """ValueError after a step (its `metrics`) that overflowed at the lowest scale."""
    scale = float(metrics["loss_scale"])
    if float(metrics["skipped"]) and scale / self.factor < self.lowest:
      raise ValueError(
        f"Gradients overflow although the loss scale is down at {scale:g} "
        f"({type(self).__name__}.lowest={self.lowest:g}): the run diverges. Go on from "
        "an earlier checkpoint with a lower learning rate or clip, or use bfloat16."
      )

  def _period(self, old: jax.Array, finite: jax.Array, grows: jax.Array) -> jax.Array:
    return old


@dataclasses.dataclass(frozen=True, kw_only=True)
class Windowed(Dynamic):
  """OPT's: the period, too, doubles and halves with every move (Zhang et al. 2022,
  arXiv:2205.01068; metaseq, optim/dynamic_loss_scaler.py).

  A low scale is tried higher soon, a high one late. At the floor the period goes on
  shrinking, as in metaseq, whose first version ended the run there.
  """

  initial: float = 4.0
  period: int = 256
  lowest: float = 2.0**-5

  def _period(self, old: jax.Array, finite: jax.Array, grows: jax.Array) -> jax.Array:
    longer = jnp.minimum(old * self.factor, LONGEST).astype(jnp.int32)
    shorter = jnp.maximum(old / self.factor, 1).astype(jnp.int32)
    return jnp.where(finite, jnp.where(grows, longer, old), shorter)


class PatientScale(NamedTuple):
  """A Scale, and left: int32 scalar, overflows that it still bears before it falls."""

  scale: jax.Array
  good: jax.Array
  period: jax.Array
  left: jax.Array


@dataclasses.dataclass(frozen=True, kw_only=True)
class Patient(Dynamic):
  """Megatron-LM's: with hysteresis, one odd batch does not lower the scale (`hysteresis`
  of its DynamicGradScaler, megatron/core/optimizer/grad_scaler.py).

  Of the overflows since the scale last grew the first `hysteresis` - 1 are skipped steps
  and nothing else; from then on each lowers it.
  """

  initial: float = 2.0**32
  period: int = 1000
  lowest: float = 1.0
  hysteresis: int = 2

  def __post_init__(self):
    super().__post_init__()
    if self.hysteresis < 1:
      raise ValueError(f"Patient.hysteresis={self.hysteresis} must be 1 or more.")

  def start(self) -> PatientScale:
    """The state before the first step."""
    return PatientScale(*super().start(), jnp.int32(self.hysteresis))

  def update(self, old: PatientScale, finite: jax.Array) -> PatientScale:
    """The state after a step; `finite` (bool scalar): all of its gradients were."""
    new = super().update(old, finite)
    left = jnp.where(finite, old.left, jnp.maximum(old.left - 1, 0))
    scale = jnp.where(finite | (left == 0), new.scale, old.scale)
    grows = finite & (new.good % old.period == 0)
    left = jnp.where(grows, self.hysteresis, left)
    return PatientScale(scale, new.good, new.period, left)

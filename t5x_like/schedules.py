"""Schedules: step -> learning rate, as frozen values that gin can build and multiply.

You are in: t5x_like, pure. A schedule is called with the number of finished steps
(0 at the first update), a Python number or a traced array, and returns float32. Add
yours as one dataclass; `Product` combines any of them.
"""

from __future__ import annotations

import dataclasses
import math

import jax
import jax.numpy as jnp

schedule = dataclasses.dataclass(frozen=True, kw_only=True)

POSITIVE = "steps must be positive, and warmup zero or more"


@schedule
class Constant:
  """The same rate at every step."""

  value: float

  def __call__(self, step: jax.Array | int) -> jax.Array:
    return jnp.full_like(_step(step), self.value)


@schedule
class Warmup:
  """A factor that grows linearly from 0 to 1 in `steps`, for use in a `Product`."""

  steps: int

  def __post_init__(self):
    _require(self, self.steps >= 0, "steps must be zero or more")

  def __call__(self, step: jax.Array | int) -> jax.Array:
    return _warmup(_step(step), self.steps)


@schedule
class Rsqrt:
  """peak * sqrt(warmup / max(step, warmup)): T5's inverse square root.

  ramp False is T5's own: constant until `warmup`. ramp True grows linearly until then
  (Vaswani et al. 2017, section 5.3).
  """

  peak: float
  warmup: int
  ramp: bool = False

  def __post_init__(self):
    _require(self, self.warmup > 0, "warmup must be positive")

  def __call__(self, step: jax.Array | int) -> jax.Array:
    step = _step(step)
    rate = self.peak * jnp.sqrt(self.warmup / jnp.maximum(step, self.warmup))
    return rate * _warmup(step, self.warmup) if self.ramp else rate


@schedule
class Linear:
  """Linear warm-up to `peak`, then linear decay to `final` at `steps`."""

  peak: float
  steps: int
  warmup: int = 0
  final: float = 0.0

  def __post_init__(self):
    _require(self, self.steps > 0 and self.warmup >= 0, POSITIVE)

  def __call__(self, step: jax.Array | int) -> jax.Array:
    step = _step(step)
    done = _progress(step, self.warmup, self.steps)
    rate = self.peak + (self.final - self.peak) * done
    return jnp.where(step < self.warmup, self.peak * _warmup(step, self.warmup), rate)


@schedule
class Cosine:
  """Linear warm-up to `peak`, then half a cosine to `final` at `steps` (1608.03983)."""

  peak: float
  steps: int
  warmup: int = 0
  final: float = 0.0

  def __post_init__(self):
    _require(self, self.steps > 0 and self.warmup >= 0, POSITIVE)

  def __call__(self, step: jax.Array | int) -> jax.Array:
    step = _step(step)
    done = _progress(step, self.warmup, self.steps)
    height = 0.5 * (1.0 + jnp.cos(math.pi * done))
    rate = self.final + (self.peak - self.final) * height
    return jnp.where(step < self.warmup, self.peak * _warmup(step, self.warmup), rate)


@schedule
class WSD:
  """Warm-up, stable, decay (Hu et al. 2024, arXiv:2404.06395, eq. 1): the last `decay`
  of `steps` fall linearly from `peak` to `final`. Below 1, decay is a share of them."""

  peak: float
  steps: int
  decay: float
  warmup: int = 0
  final: float = 0.0

  def __post_init__(self):
    _require(self, self.steps > 0 and self.warmup >= 0, POSITIVE)
    _require(self, 0 < self.decay <= self.steps, "decay must be positive, within steps")
    whole = self.decay < 1 or self.decay == int(self.decay)
    _require(self, whole, "decay must be a whole number, or a share below 1")

  @property
  def stable(self) -> int:
    """Steps before the decay; until there, schedules of any `steps` are the same."""
    decay = self.decay if self.decay >= 1 else max(1, round(self.decay * self.steps))
    return self.steps - int(decay)

  def __call__(self, step: jax.Array | int) -> jax.Array:
    step = _step(step)
    done = _progress(step, self.stable, self.steps)
    rate = self.peak + (self.final - self.peak) * done
    return rate * _warmup(step, self.warmup)


@schedule
class MultiStep:
  """Linear warm-up to `peak`; from each of `boundaries` on, `peak` times its factor.

  DeepSeek LLM (arXiv:2401.02954, section 2.3): 80 % and 90 % of the steps, factors
  0.316 and 0.1.
  """

  peak: float
  boundaries: tuple[int, ...]
  factors: tuple[float, ...]
  warmup: int = 0

  def __post_init__(self):
    same = len(self.boundaries) == len(self.factors)
    _require(self, same, "each boundary needs one factor")
    rising = list(self.boundaries) == sorted(set(self.boundaries))
    _require(self, rising, "boundaries must increase")
    _require(self, self.warmup >= 0, "warmup must be zero or more")

  def __call__(self, step: jax.Array | int) -> jax.Array:
    step = _step(step)
    rate = jnp.full_like(step, self.peak)
    for boundary, factor in zip(self.boundaries, self.factors, strict=True):
      rate = jnp.where(step >= boundary, self.peak * factor, rate)
    return rate * _warmup(step, self.warmup)


@schedule
class Product:
  """Factors multiplied: `Product(factors=(Warmup(steps=100), Constant(value=1e-3)))`."""

  factors: tuple

  def __call__(self, step: jax.Array | int) -> jax.Array:
    rate = jnp.ones_like(_step(step))
    for factor in self.factors:
      rate = rate * factor(step)
    return rate


T5X_FACTORS = (
  "constant",
  "linear_warmup",
  "linear_decay",
  "rsqrt_decay",
  "rsqrt_normalized_decay",
  "decay_every",
  "cosine_decay",
)


@schedule
class T5X:
  """T5X's `utils.create_learning_rate_scheduler`: factors in a string, left to right.

  The defaults are T5X's, among them base_learning_rate=0.5; T5's pre-training is
  factors="constant * rsqrt_decay", base_learning_rate=1.0, warmup_steps=10000.
  """

  factors: str = "constant * linear_warmup * rsqrt_decay"
  base_learning_rate: float = 0.5
  warmup_steps: int = 1000
  decay_factor: float = 0.5
  steps_per_decay: int = 20000
  steps_per_cycle: int = 100000
  step_offset: int = 0
  min_learning_rate: float = 1e-8

  def __post_init__(self):
    unknown = [name for name in self.names() if name not in T5X_FACTORS]
    if unknown:
      raise ValueError(
        f"Unknown factor {unknown[0]!r} in {self.factors!r}. Known: "
        f"{', '.join(T5X_FACTORS)}."
      )
    for field in ("warmup_steps", "steps_per_decay", "steps_per_cycle"):
      _require(self, getattr(self, field) > 0, f"{field} must be positive")

  def names(self) -> list[str]:
    """The factors, in order."""
    return [name.strip() for name in self.factors.split("*")]

  def __call__(self, step: jax.Array | int) -> jax.Array:
    step = jnp.maximum(0.0, _step(step) - self.step_offset)
    rate = jnp.ones_like(step)
    for name in self.names():
      rate = rate * self._factor(name, step)
    return jnp.maximum(rate, self.min_learning_rate)

  def _factor(self, name: str, step: jax.Array) -> jax.Array | float:
    warmup, late = self.warmup_steps, jnp.maximum(step, self.warmup_steps)
    if name == "constant":
      return self.base_learning_rate
    if name == "linear_warmup":
      return jnp.minimum(1.0, step / warmup)
    if name == "linear_decay":
      falling = 1.0 + self.decay_factor * (warmup - step)
      return self.base_learning_rate * jnp.minimum(step / warmup, falling)
    if name == "rsqrt_decay":
      return jax.lax.rsqrt(late)
    if name == "rsqrt_normalized_decay":
      return jnp.sqrt(float(warmup)) * jax.lax.rsqrt(late)
    if name == "decay_every":
      return self.decay_factor ** (step // self.steps_per_decay)
    progress = jnp.maximum(0.0, (step - warmup) / self.steps_per_cycle)
    return jnp.maximum(0.0, 0.5 * (1.0 + jnp.cos(math.pi * (progress % 1.0))))


def _require(schedule: object, holds: bool, rule: str) -> None:
  if not holds:
    raise ValueError(f"{schedule}: {rule}.")


def _step(step: jax.Array | int) -> jax.Array:
  return jnp.asarray(step, jnp.float32)


def _warmup(step: jax.Array, steps: int) -> jax.Array:
  return jnp.minimum(1.0, step / steps) if steps else jnp.ones_like(step)


def _progress(step: jax.Array, start: int, end: int) -> jax.Array:
  """0 until `start`, 1 from `end` on."""
  return jnp.clip((step - start) / max(1, end - start), 0.0, 1.0)

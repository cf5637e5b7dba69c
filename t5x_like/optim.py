"""Optimizers: hyper-parameters as frozen values, transformations from optax.

You are in: t5x_like, pure (JAX, optax). `build(axes)` gets the logical axes of every
parameter by path and returns an `optax.GradientTransformation` without clipping;
`step.py` clips by `clip`, because it logs the norm anyway. State is trees that mirror
the parameters, so that it is sharded like them; hold no other large array in it.

Weight decay acts on kernels and embedding tables; norms' scales and biases are left
alone, as in every published recipe that says so (roles.py).
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import optax

from t5x_like import schedules
from t5x_like.adafactor import adafactor
from t5x_like.muon import muon
from t5x_like.roles import decay_mask

Axes = dict[str, tuple[str, ...]]
# What a hyper-parameter of this name must lie in: [low, high).
RANGES = {
  "beta1": (0.0, 1.0),
  "beta2": (0.0, 1.0),
  "momentum": (0.0, 1.0),
  "weight_decay": (0.0, float("inf")),
  "epsilon": (0.0, float("inf")),
  "step_offset": (0, float("inf")),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Optimizer:
  """learning_rate: a schedule, or a number for a constant one. clip: limit on the
  global norm of the gradient, None for no limit."""

  learning_rate: object
  clip: float | None = None

  def __post_init__(self):
    if isinstance(self.learning_rate, (int, float)):
      constant = schedules.Constant(value=float(self.learning_rate))
      object.__setattr__(self, "learning_rate", constant)
    name = type(self).__name__
    if not callable(self.learning_rate):
      raise ValueError(
        f"{name}.learning_rate={self.learning_rate!r} must be a number or a schedule, "
        "such as @schedules.Cosine()."
      )
    if self.clip is not None and self.clip <= 0:
      raise ValueError(f"{name}.clip={self.clip} must be positive, or None.")
    for field, (low, high) in RANGES.items():
      value = getattr(self, field, None)
      if value is not None and not low <= value < high:
        raise ValueError(
          f"{name}.{field}={value} must be at least {low} and less than {high}."
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class AdamW(Optimizer):
  """Loshchilov and Hutter 2017, arXiv:1711.05101; decay is multiplied by the rate."""

  beta1: float = 0.9
  beta2: float = 0.999
  epsilon: float = 1e-8
  weight_decay: float = 0.0

  def build(self, axes: Axes) -> optax.GradientTransformation:
    return optax.adamw(
      self.learning_rate,
      self.beta1,
      self.beta2,
      self.epsilon,
      weight_decay=self.weight_decay,
      mask=decay_mask,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Adafactor(Optimizer):
  """T5's Adafactor; see adafactor.py. Names and defaults are T5X's.

  step_offset: steps of the pre-training when its optimizer state is kept, or the
  statistics would hardly move. weight_decay: T5X's weight_decay_rate, not multiplied
  by the rate. clipping_threshold: on the root mean square of a parameter's update.
  """

  factored: bool = True
  multiply_by_parameter_scale: bool = True
  beta1: float | None = None
  decay_rate: float = 0.8
  step_offset: int = 0
  clipping_threshold: float | None = 1.0
  weight_decay: float = 0.0
  min_dim_size_to_factor: int = 128
  epsilon1: float = 1e-30
  epsilon2: float = 1e-3

  def build(self, axes: Axes) -> optax.GradientTransformation:
    return adafactor(self, axes)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SGD(Optimizer):
  """Gradient descent with momentum (Sutskever et al. 2013): m = momentum * m + g."""

  momentum: float = 0.0
  nesterov: bool = False

  def __post_init__(self):
    super().__post_init__()
    if self.nesterov and not self.momentum:
      raise ValueError(
        "SGD.nesterov = True needs a momentum; set SGD.momentum, e.g. to 0.9."
      )

  def build(self, axes: Axes) -> optax.GradientTransformation:
    momentum = self.momentum or None
    return optax.sgd(self.learning_rate, momentum, self.nesterov)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Adagrad(Optimizer):
  """Duchi et al. 2011: the rate of each element falls with its summed squares."""

  initial: float = 0.1
  epsilon: float = 1e-7

  def build(self, axes: Axes) -> optax.GradientTransformation:
    return optax.adagrad(self.learning_rate, self.initial, self.epsilon)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Lion(Optimizer):
  """Chen et al. 2023, arXiv:2302.06675: the sign of an interpolated momentum."""

  beta1: float = 0.9
  beta2: float = 0.99
  weight_decay: float = 0.0

  def build(self, axes: Axes) -> optax.GradientTransformation:
    return optax.lion(
      self.learning_rate,
      self.beta1,
      self.beta2,
      weight_decay=self.weight_decay,
      mask=decay_mask,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Muon(Optimizer):
  """Orthogonalized momentum (Jordan et al. 2024) for the kernels inside the stacks.

  Embeddings, the head, norms and biases take AdamW with the same schedule. The update
  is scaled by `consistent_rms` * sqrt(max(rows, columns)), 0.2 in Liu et al. 2025,
  arXiv:2502.16982, so that rates and decay of AdamW carry over. See muon.py.
  """

  momentum: float = 0.95
  newton_schulz_steps: int = 5
  nesterov: bool = True
  weight_decay: float = 0.0
  consistent_rms: float = 0.2
  beta1: float = 0.9
  beta2: float = 0.999
  epsilon: float = 1e-8

  def build(self, axes: Axes) -> optax.GradientTransformation:
    return muon(self, axes)


def clip_by_global_norm(grads: dict, norm: jax.Array, limit: float | None) -> dict:
  """Gradients scaled down to `limit` where their global `norm` exceeds it."""
  if limit is None:
    return grads
  scale = jnp.minimum(1.0, limit / jnp.maximum(norm, 1e-16))
  return jax.tree.map(lambda g: g * scale, grads)


def updates_done(opt_state: object) -> jax.Array:
  """Number of updates behind an optimizer's state, which its schedule is called with.

  Fewer than the steps of the run, if steps were skipped because of NaN.
  """
  for path, leaf in jax.tree_util.tree_leaves_with_path(opt_state):
    if getattr(path[-1], "name", None) == "count":
      return leaf
  raise AssertionError("every optimizer of this file counts its updates")

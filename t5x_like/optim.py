"""Optimizers: hyper-parameters as frozen values, transformations from optax.

You are in: t5x_like, pure (JAX, optax). `build(axes)` gets the logical axes of every
parameter by path and returns an `optax.GradientTransformation` without clipping;
`step.py` clips by `clip`, because it logs the norm anyway. State is trees that mirror
the parameters, so that it is sharded like them.

Weight decay acts on kernels and embedding tables; norms' scales and biases are left
alone, as in every published recipe that says so.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import optax
from optax import contrib

from t5x_like import schedules
from t5x_like.adafactor import adafactor

Axes = dict[str, tuple[str, ...]]
DECAYED = ("kernel", "embedding")


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
    if self.clip is not None and self.clip <= 0:
      raise ValueError(f"{type(self).__name__}.clip={self.clip} must be positive.")


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

  step_offset: steps of the pre-training when fine-tuning, or the statistics would
  hardly move. weight_decay: not multiplied by the rate.
  """

  factored: bool = True
  multiply_by_parameter_scale: bool = True
  beta1: float | None = None
  decay_rate: float = 0.8
  step_offset: int = 0
  clipping_threshold: float = 1.0
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

  Embeddings, the head, norms and biases take AdamW with the same schedule, and with
  Nesterov momentum if `nesterov` is set (so optax does it). The update
  is scaled by `consistent_rms` * sqrt(max(rows, columns)), 0.2 in Liu et al. 2025,
  arXiv:2502.16982, so that rates and decay of AdamW carry over.
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
    def matrices(params):
      named = lambda path, _: _matrix(path_name(path), axes)
      return jax.tree_util.tree_map_with_path(named, params)

    return contrib.muon(
      self.learning_rate,
      ns_steps=self.newton_schulz_steps,
      beta=self.momentum,
      nesterov=self.nesterov,
      weight_decay=self.weight_decay,
      weight_decay_mask=decay_mask,
      adam_b1=self.beta1,
      adam_b2=self.beta2,
      eps=self.epsilon,
      adam_weight_decay=self.weight_decay,
      muon_weight_dimension_numbers=matrices,
      consistent_rms=self.consistent_rms,
    )


def _matrix(name: str, axes: Axes) -> contrib.MuonDimensionNumbers | None:
  """Rows and columns of a stacked kernel; None for what AdamW updates."""
  names = axes[name]
  if not name.endswith("/kernel") or names[0] != "layers":
    return None
  into = names.index("embed")
  rest = tuple(i for i in range(1, len(names)) if i != into)
  if into == 1:
    return contrib.MuonDimensionNumbers(reduction_axis=(into,), output_axis=rest)
  return contrib.MuonDimensionNumbers(reduction_axis=rest, output_axis=(into,))


def decay_mask(params: dict) -> dict:
  """True where weight decay acts: kernels and embedding tables."""
  return jax.tree_util.tree_map_with_path(
    lambda path, _: path[-1].key in DECAYED, params
  )


def clip_by_global_norm(grads: dict, norm: jax.Array, limit: float | None) -> dict:
  """Gradients scaled down to `limit` where their global `norm` exceeds it."""
  if limit is None:
    return grads
  scale = jnp.minimum(1.0, limit / jnp.maximum(norm, 1e-16))
  return jax.tree.map(lambda g: g * scale, grads)


def path_name(path: tuple) -> str:
  """A JAX key path of nested dicts as "a/b/c"."""
  return "/".join(str(part.key) for part in path)

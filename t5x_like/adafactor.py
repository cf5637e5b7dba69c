"""Adafactor as T5 uses it (Shazeer and Stern 2018, arXiv:1804.04235; T5X adafactor.py).

You are in: t5x_like, pure (JAX, optax). optax's own version lacks what makes T5's: the
order of its operations, joined axes, and one update per layer of stacked parameters.

A parameter is seen as a matrix of rows and columns per layer (roles.py): heads and
their features count as one axis, as in T5X's two-dimensional kernels. Statistics keep
the separate axes, so they are sharded like the parameter.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from t5x_like.roles import decayed, path_name, roles


class AdafactorState(NamedTuple):
  """count: updates done. The trees mirror the parameters; unused leaves have shape (1,).

  row, column: means of squared gradients over the columns and over the rows, where the
  parameter is factored; full: the unreduced mean, where it is not. Float32, or as the
  parameter for `full` and `momentum`.
  """

  count: jax.Array
  row: dict
  column: dict
  full: dict
  momentum: dict


def adafactor(
  hyper: object, axes: dict[str, tuple[str, ...]]
) -> optax.GradientTransformation:
  """The transformation for `optim.Adafactor` hyper-parameters `hyper`.

  axes: logical axes by path. Raises ValueError at `init` for a parameter in which rows
  and columns cannot be told apart.
  """

  def init(params: dict) -> AdafactorState:
    def leaf(path, param):
      return _init_leaf(hyper, _plan(hyper, path_name(path), param.shape, axes), param)

    leaves = jax.tree_util.tree_map_with_path(leaf, params)
    return AdafactorState(jnp.zeros((), jnp.int32), *_unzip(leaves, 4))

  def update(grads: dict, state: AdafactorState, params: dict):
    step = jnp.maximum(state.count - hyper.step_offset, 0).astype(jnp.float32)
    decay = 1.0 - (step + 1.0) ** -hyper.decay_rate
    rate = hyper.learning_rate(state.count)

    def leaf(path, grad, param, row, column, full, momentum):
      plan = _plan(hyper, path_name(path), param.shape, axes)
      y, row, column, full = _normalized(hyper, plan, decay, grad, row, column, full)
      scale = rate
      if hyper.multiply_by_parameter_scale:
        scale = rate * jnp.maximum(_rms(param, plan), hyper.epsilon2)
      update = scale * y
      if hyper.beta1 is not None:
        # T5X averages what would be subtracted, not the gradient.
        update = momentum = hyper.beta1 * momentum + (1 - hyper.beta1) * update
      if hyper.weight_decay and decayed(path):
        update = update + hyper.weight_decay * param
      return -update, row, column, full, momentum

    leaves = jax.tree_util.tree_map_with_path(
      leaf, grads, params, state.row, state.column, state.full, state.momentum
    )
    updates, *trees = _unzip(leaves, 5)
    return updates, AdafactorState(state.count + 1, *trees)

  return optax.GradientTransformation(init, update)


class _Plan(NamedTuple):
  """Axes over which means are taken. rows and columns are empty if not factored."""

  rows: tuple[int, ...]
  columns: tuple[int, ...]
  own: tuple[int, ...]  # all axes of one layer's parameter


def _plan(hyper, name: str, shape: tuple[int, ...], axes: dict) -> _Plan:
  names = axes[name]
  found = roles(names)
  if hyper.factored and len(found.groups) > 2:
    raise ValueError(
      f"Adafactor cannot tell rows from columns in {name} {names}: it has more than "
      "two axes. Add the pair that makes one axis to JOINED, or the axis that stacks "
      "matrices to STACKED, in t5x_like/roles.py; or set Adafactor.factored = False."
    )
  sizes = [math.prod(shape[axis] for axis in group) for group in found.groups]
  if hyper.factored and found.is_matrix and min(sizes) >= hyper.min_dim_size_to_factor:
    return _Plan(*found.groups, found.own)
  return _Plan((), (), found.own)


def _init_leaf(hyper, plan: _Plan, param: jax.Array):
  unused = jnp.zeros((1,), jnp.float32)
  momentum = unused if hyper.beta1 is None else jnp.zeros_like(param)
  if not plan.rows:
    return unused, unused, jnp.zeros_like(param), momentum
  row = jnp.zeros(_without(param.shape, plan.columns), jnp.float32)
  column = jnp.zeros(_without(param.shape, plan.rows), jnp.float32)
  return row, column, unused, momentum


def _normalized(hyper, plan: _Plan, decay, grad, row, column, full):
  """(gradient over its root mean square, clipped by its own, and the new statistics)."""
  square = jnp.square(grad) + hyper.epsilon1
  if plan.rows:
    row = decay * row + (1 - decay) * jnp.mean(square, axis=plan.columns)
    column = decay * column + (1 - decay) * jnp.mean(square, axis=plan.rows)
    wide_row = jnp.expand_dims(row, plan.columns)
    wide_column = jnp.expand_dims(column, plan.rows)
    mean = jnp.mean(wide_row, axis=plan.own, keepdims=True)
    y = grad * jax.lax.rsqrt(wide_row / mean) * jax.lax.rsqrt(wide_column)
  else:
    full = decay * full + (1 - decay) * square
    y = grad * jax.lax.rsqrt(full)
  if hyper.clipping_threshold is not None:
    y = y / jnp.maximum(1.0, _rms(y, plan) / hyper.clipping_threshold)
  return y, row, column, full


def _rms(x: jax.Array, plan: _Plan) -> jax.Array:
  """Root mean square of each layer's part."""
  return jnp.sqrt(jnp.mean(jnp.square(x), axis=plan.own, keepdims=True))


def _without(shape: tuple[int, ...], axes: tuple[int, ...]) -> tuple[int, ...]:
  return tuple(size for at, size in enumerate(shape) if at not in axes)


def _unzip(tree: dict, count: int) -> list[dict]:
  """A tree of tuples as a list of trees."""

  def pick(at: int) -> dict:
    return jax.tree.map(lambda x: x[at], tree, is_leaf=lambda x: isinstance(x, tuple))

  return [pick(at) for at in range(count)]

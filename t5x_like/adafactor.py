"""Adafactor as T5 uses it (Shazeer and Stern 2018, arXiv:1804.04235; T5X adafactor.py).

You are in: t5x_like, pure (JAX, optax). optax's own version lacks what makes T5's: the
order of its operations, joined axes, and one update per layer of stacked parameters.

A parameter is seen as a matrix of rows and columns per layer: the `layers` axis is a
batch, and heads and their features count as one axis, as in T5X's two-dimensional
kernels. Statistics keep the separate axes, so they are sharded like the parameter.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

JOINED = (("heads", "kv"), ("kv_heads", "kv"))


class AdafactorState(NamedTuple):
  """count: updates done. The trees mirror the parameters; unused leaves have shape (1,)."""

  count: jax.Array
  row: dict
  column: dict
  full: dict
  momentum: dict


def adafactor(hyper: object, axes: dict[str, tuple[str, ...]]):
  """The transformation for `optim.Adafactor` hyper-parameters `hyper`."""

  def init(params):
    leaf = lambda path, p: _init_leaf(hyper, _plan(hyper, _name(path), p, axes), p)
    leaves = jax.tree_util.tree_map_with_path(leaf, params)
    pick = lambda i: jax.tree.map(lambda x: x[i], leaves, is_leaf=_is_tuple)
    return AdafactorState(jnp.zeros((), jnp.int32), *(pick(i) for i in range(4)))

  def update(grads, state, params):
    step = jnp.maximum(state.count - hyper.step_offset, 0).astype(jnp.float32)
    decay = 1.0 - (step + 1.0) ** -hyper.decay_rate
    rate = hyper.learning_rate(state.count)

    def leaf(path, g, p, row, column, full, momentum):
      plan = _plan(hyper, _name(path), p, axes)
      return _update_leaf(hyper, plan, decay, rate, g, p, row, column, full, momentum)

    leaves = jax.tree_util.tree_map_with_path(
      leaf, grads, params, state.row, state.column, state.full, state.momentum
    )
    pick = lambda i: jax.tree.map(lambda x: x[i], leaves, is_leaf=_is_tuple)
    new = AdafactorState(state.count + 1, *(pick(i) for i in range(1, 5)))
    return pick(0), new

  return optax.GradientTransformation(init, update)


class _Plan(NamedTuple):
  """Which axes of a parameter are reduced. rows/columns empty: not factored."""

  rows: tuple[int, ...]
  columns: tuple[int, ...]
  layer: tuple[int, ...]  # all axes of one layer's parameter


def _plan(hyper, name, param, axes) -> _Plan:
  names = axes[name]
  first = 1 if names and names[0] == "layers" else 0
  groups: list[tuple[int, ...]] = []
  for at in range(first, len(names)):
    if groups and names[at - 1 : at + 1] in JOINED:
      groups[-1] = (*groups[-1], at)
    else:
      groups.append((at,))
  layer = tuple(range(first, len(names)))
  if len(groups) > 2 and hyper.factored:
    raise ValueError(
      f"Adafactor cannot tell rows from columns in {name} {names}: it has more than "
      "two axes. Add the pair to JOINED in t5x_like/adafactor.py, or set factored=False."
    )
  sizes = [math.prod(param.shape[i] for i in group) for group in groups]
  if not hyper.factored or len(groups) < 2 or min(sizes) < hyper.min_dim_size_to_factor:
    return _Plan((), (), layer)
  return _Plan(groups[0], groups[1], layer)


def _init_leaf(hyper, plan, param):
  unused = jnp.zeros((1,), jnp.float32)
  momentum = jnp.zeros_like(param) if hyper.beta1 is not None else unused
  if not plan.rows:
    return unused, unused, jnp.zeros_like(param), momentum
  row = jnp.zeros(_without(param.shape, plan.columns), jnp.float32)
  column = jnp.zeros(_without(param.shape, plan.rows), jnp.float32)
  return row, column, unused, momentum


def _update_leaf(hyper, plan, decay, rate, grad, param, row, column, full, momentum):
  """(update, row, column, full, momentum) of one parameter; t5x_conventions of T5X."""
  square = jnp.square(grad) + hyper.epsilon1
  if plan.rows:
    row = decay * row + (1 - decay) * jnp.mean(square, axis=plan.columns)
    column = decay * column + (1 - decay) * jnp.mean(square, axis=plan.rows)
    wide_row = jnp.expand_dims(row, plan.columns)
    wide_column = jnp.expand_dims(column, plan.rows)
    mean = jnp.mean(wide_row, axis=plan.layer, keepdims=True)
    y = grad * jax.lax.rsqrt(wide_row / mean) * jax.lax.rsqrt(wide_column)
  else:
    full = decay * full + (1 - decay) * square
    y = grad * jax.lax.rsqrt(full)
  y = y / jnp.maximum(1.0, _rms(y, plan) / hyper.clipping_threshold)
  step = rate
  if hyper.multiply_by_parameter_scale:
    step = step * jnp.maximum(_rms(param, plan), hyper.epsilon2)
  update = step * y
  if hyper.beta1 is not None:
    update = momentum = hyper.beta1 * momentum + (1 - hyper.beta1) * update
  decayed = hyper.weight_decay * param if hyper.weight_decay else 0.0
  return -update - decayed, row, column, full, momentum


def _rms(x, plan):
  """Root mean square of each layer's part."""
  return jnp.sqrt(jnp.mean(jnp.square(x), axis=plan.layer, keepdims=True))


def _without(shape, axes):
  return tuple(size for i, size in enumerate(shape) if i not in axes)


def _is_tuple(x) -> bool:
  return isinstance(x, tuple)


def _name(path) -> str:
  return "/".join(str(part.key) for part in path)

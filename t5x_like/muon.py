"""Muon: momentum made orthogonal, for matrices (Jordan et al. 2024, "Muon: an optimizer
for hidden layers in neural networks"; scaled after Liu et al. 2025, arXiv:2502.16982).

You are in: t5x_like, pure (JAX, optax). A kernel is one matrix per layer (roles.py):
(embed, heads * kv), not one per head. optax's version differs from the authors' code:
it corrects the bias of the momentum, and gives Nesterov momentum to what AdamW updates.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from t5x_like.roles import Roles, decay_mask, path_name, roles

# Of Jordan et al.: five iterations bring singular values to between 0.5 and 1.5.
QUINTIC = (3.4445, -4.7750, 2.0315)


class MuonState(NamedTuple):
  """momentum mirrors the parameters; those of AdamW are left out."""

  momentum: dict


def muon(
  hyper: object, axes: dict[str, tuple[str, ...]]
) -> optax.GradientTransformation:
  """The transformation for `optim.Muon` hyper-parameters `hyper`.

  axes: logical axes by path. Stacked kernels are Muon's; AdamW has the rest.
  """

  def labels(params: dict) -> dict:
    return jax.tree_util.tree_map_with_path(
      lambda path, _: "matrix" if _is_hidden(path_name(path), axes) else "rest", params
    )

  matrices = optax.chain(
    _orthogonal_momentum(hyper, axes),
    optax.add_decayed_weights(hyper.weight_decay),
    optax.scale_by_learning_rate(hyper.learning_rate),
  )
  rest = optax.adamw(
    hyper.learning_rate,
    hyper.beta1,
    hyper.beta2,
    hyper.epsilon,
    weight_decay=hyper.weight_decay,
    mask=decay_mask,
  )
  return optax.partition({"matrix": matrices, "rest": rest}, labels)


def _is_hidden(name: str, axes: dict) -> bool:
  found = roles(axes[name])
  return name.endswith("/kernel") and bool(found.stacked) and found.is_matrix


def _orthogonal_momentum(hyper, axes: dict) -> optax.GradientTransformation:
  def init(params: dict) -> MuonState:
    return MuonState(jax.tree.map(jnp.zeros_like, params))

  def update(grads: dict, state: MuonState, params: dict | None = None):
    del params
    mix = lambda old, new: hyper.momentum * old + (1 - hyper.momentum) * new
    momentum = jax.tree.map(mix, state.momentum, grads)
    ahead = jax.tree.map(mix, momentum, grads) if hyper.nesterov else momentum

    def leaf(path, x):
      return _scaled(hyper, roles(axes[path_name(path)]), x)

    return jax.tree_util.tree_map_with_path(leaf, ahead), MuonState(momentum)

  return optax.GradientTransformation(init, update)


def _scaled(hyper, found: Roles, x: jax.Array) -> jax.Array:
  """x with each layer's matrix made orthogonal, its elements of size `consistent_rms`."""
  rows, columns = (math.prod(x.shape[at] for at in group) for group in found.groups)
  stacked = tuple(x.shape[at] for at in found.stacked)
  y = orthogonalize(x.reshape(*stacked, rows, columns), steps=hyper.newton_schulz_steps)
  # An orthogonal matrix has elements of root mean square 1 / sqrt(max(rows, columns)).
  return hyper.consistent_rms * math.sqrt(max(rows, columns)) * y.reshape(x.shape)


def orthogonalize(x: jax.Array, *, steps: int) -> jax.Array:
  """About U V^T for x = U S V^T: [..., rows, columns] -> the same, by Newton-Schulz."""
  tall = x.shape[-2] > x.shape[-1]
  if tall:  # the smaller product
    x = jnp.swapaxes(x, -1, -2)
  a, b, c = QUINTIC
  norm = jnp.linalg.norm(x, axis=(-2, -1), keepdims=True)
  x = x / jnp.maximum(norm, 1e-7)  # no gradient, no update
  for _ in range(steps):
    square = x @ jnp.swapaxes(x, -1, -2)
    x = a * x + (b * square + c * square @ square) @ x
  return jnp.swapaxes(x, -1, -2) if tall else x

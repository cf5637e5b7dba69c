"""Rounding: parameters stored in bfloat16, in half of float32's memory.

You are in: t5x_like, pure (JAX). Upstream: `run.Run.rounding`. Downstream: state.py
stores parameters by it, step.py widens them, computes gradients and the update in
float32, and rounds what comes out. The optimizer's state and averages stay float32.

A step of training moves a parameter by less than half the distance to the next bfloat16
(2^-9 of its value): rounded to the nearest it would stay for ever. Rounded up as often as
it is near, it moves by the right amount on average.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re

import jax
import jax.numpy as jnp

from t5x_like.roles import path_name

BITS = 16  # of a float32 that bfloat16 leaves out


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stochastic:
  """To one of the two neighbours, each as likely as the other is far (Gupta et al. 2015,
  arXiv:1502.02551, section 3; Gopher, Rae et al. 2021, arXiv:2112.11446, section 3.1).

  parameters: a regular expression; parameters whose whole path matches are stored in
  bfloat16, all by default, as in Gopher. ".*/(kernel|embedding)" leaves vectors alone.
  """

  parameters: str = ".*"

  def __post_init__(self):
    try:
      re.compile(self.parameters)
    except re.error as error:
      raise ValueError(
        f"Stochastic.parameters={self.parameters!r} is no regular expression: {error}."
      ) from error

  def check(self, paths: list[str]) -> None:
    """ValueError when no parameter is meant."""
    if not any(map(self._meant, paths)):
      raise ValueError(
        f"Stochastic.parameters={self.parameters!r} matches none of the {len(paths)} "
        f"parameters, such as {paths[0]}. It has to match a whole path: '.*/kernel'."
      )

  def nearest(self, params: dict) -> dict:
    """The parameters as they are stored, each rounded to the nearest: a first value."""
    return self._mapped(lambda name, leaf: leaf.astype(jnp.bfloat16), params)

  def __call__(self, params: dict, *, seed: int, step: jax.Array) -> dict:
    """The float32 parameters as they are stored after a step, the same on any mesh."""
    key = jax.random.fold_in(jax.random.key(seed), step)

    def one(name: str, leaf: jax.Array) -> jax.Array:
      digest = hashlib.sha256(f"rounding of {name}".encode()).digest()[:4]
      return stochastic(leaf, jax.random.fold_in(key, int.from_bytes(digest, "big")))

    return self._mapped(one, params)

  def _meant(self, path: str) -> bool:
    return re.fullmatch(self.parameters, path) is not None

  def _mapped(self, function, params: dict) -> dict:
    def one(path: tuple, leaf: jax.Array) -> jax.Array:
      name = path_name(path)
      return function(name, leaf) if self._meant(name) else leaf

    return jax.tree_util.tree_map_with_path(one, params)


def stochastic(x: jax.Array, key: jax.Array) -> jax.Array:
  """float32 -> bfloat16 of the same shape; the mean over keys is x.

  The bits that bfloat16 drops say how far x is from the neighbour towards 0, in 2^-16 of
  the distance between the two: adding as many random bits carries that often. What is no
  number stays so.
  """
  bits = jax.lax.bitcast_convert_type(x, jnp.uint32)
  drawn = jax.random.bits(key, x.shape, jnp.uint16).astype(jnp.uint32)
  kept = (bits + drawn) >> BITS << BITS
  rounded = jax.lax.bitcast_convert_type(kept, jnp.float32)
  return jnp.where(jnp.isfinite(x), rounded, x).astype(jnp.bfloat16)


def widened(params: dict) -> dict:
  """The parameters in float32: what everything is computed with. Exact."""
  return jax.tree.map(lambda leaf: leaf.astype(jnp.float32), params)

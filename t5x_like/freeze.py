"""Freeze: parameters that keep their values for some steps.

You are in: t5x_like, pure (JAX). Upstream: `run.Run.frozen`. Downstream: step.py, which
zeroes their gradients before the global norm is taken, and their updates after the
optimizer (momentum and weight decay would move them).
"""

from __future__ import annotations

import dataclasses
import re

import jax
import jax.numpy as jnp

from t5x_like.roles import path_name


@dataclasses.dataclass(frozen=True, kw_only=True)
class Freeze:
  """Parameters whose whole path matches `pattern` stay as they are in steps
  [start, end); end None: to the end of the run.

  AlexaTM's encoder, inherited from a trained one, is frozen at first (Soltan et al.
  2022, arXiv:2208.01448, section 3.2): `Freeze(pattern="encoder.*", end=100_000)`.
  Averages that an optimizer keeps see zeros meanwhile: let the learning rate rise anew
  after `end`.
  """

  pattern: str
  start: int = 0
  end: int | None = None

  def __post_init__(self):
    try:
      re.compile(self.pattern)
    except re.error as error:
      raise ValueError(
        f"Freeze.pattern={self.pattern!r} is no regular expression: {error}."
      ) from error
    if self.start < 0 or (self.end is not None and self.end <= self.start):
      raise ValueError(
        f"Freeze.end={self.end} must come after start={self.start}, which is 0 or more."
      )

  def matches(self, path: str) -> bool:
    """Whether the parameter at this path, "decoder/final_norm/scale", is meant."""
    return re.fullmatch(self.pattern, path) is not None

  @property
  def always(self) -> bool:
    """Whether they never change: XLA then computes no gradient for them."""
    return self.start == 0 and self.end is None

  def holds(self, step: jax.Array) -> jax.Array:
    """Whether matching parameters stay as they are in this step."""
    inside = step >= self.start
    return inside if self.end is None else inside & (step < self.end)


def check(frozen: tuple[Freeze, ...], paths: list[str]) -> None:
  """ValueError for a pattern that no parameter matches, and if all are frozen."""
  for one in frozen:
    if not any(one.matches(path) for path in paths):
      raise ValueError(
        f"Freeze.pattern={one.pattern!r} matches none of the {len(paths)} parameters, "
        f"such as {paths[0]} and {paths[-1]}. It has to match a whole path: 'encoder/.*'."
      )
  always = [one for one in frozen if one.always]
  if all(any(one.matches(path) for one in always) for path in paths):
    raise ValueError(
      "Run.frozen holds every parameter to the end: nothing would train."
    )


def still(frozen: tuple[Freeze, ...], tree: dict, step: jax.Array) -> dict:
  """The tree (gradients or updates) with zeros where parameters are frozen."""
  if not frozen:
    return tree

  def one(path: tuple, leaf: jax.Array) -> jax.Array:
    for freeze in frozen:
      if freeze.matches(path_name(path)):
        zero = jnp.zeros_like(leaf)
        leaf = zero if freeze.always else jnp.where(freeze.holds(step), zero, leaf)
    return leaf

  return jax.tree_util.tree_map_with_path(one, tree)

"""Roles: what an optimizer must know of a parameter besides its numbers.

You are in: t5x_like, pure (JAX). Upstream: the logical axes that layers declare.
Downstream: optim.py and the optimizers that see matrices, adafactor.py and muon.py. A
new kind of stack or of joined axes is one entry here.
"""

from __future__ import annotations

from typing import NamedTuple

import jax

# Axes of things that only share an array: each of them has an update of its own.
STACKED = ("layers", "expert")
# Neighbours that are one axis of a matrix, as in T5X's kernels of (embed, joined_kv).
JOINED = (("heads", "kv"), ("kv_heads", "kv"))
# Last names of the parameters on which weight decay acts.
DECAYED = ("kernel", "embedding", "types")


class Roles(NamedTuple):
  """Numbers of a parameter's axes: `stacked` ones, then groups that make one axis each.

  A kernel (layers, embed, heads, kv) has stacked (0,) and groups ((1,), (2, 3)).
  """

  stacked: tuple[int, ...]
  groups: tuple[tuple[int, ...], ...]

  @property
  def own(self) -> tuple[int, ...]:
    """Axes of one layer's parameter: all that are not stacked."""
    return tuple(axis for group in self.groups for axis in group)

  @property
  def is_matrix(self) -> bool:
    """Whether there are rows and columns, and nothing else."""
    return len(self.groups) == 2


def roles(axes: tuple[str, ...]) -> Roles:
  """The roles of a parameter's axes, by their logical names."""
  stacked = tuple(at for at, axis in enumerate(axes) if axis in STACKED)
  groups: list[tuple[int, ...]] = []
  for at, axis in enumerate(axes):
    if axis in STACKED:
      continue
    if groups and (axes[groups[-1][-1]], axis) in JOINED:
      groups[-1] = (*groups[-1], at)
    else:
      groups.append((at,))
  return Roles(stacked, tuple(groups))


def decayed(path: tuple) -> bool:
  """Whether weight decay acts on the parameter at a JAX key path."""
  return path[-1].key in DECAYED


def decay_mask(params: dict) -> dict:
  """True where weight decay acts: kernels and embedding tables."""
  return jax.tree_util.tree_map_with_path(lambda path, _: decayed(path), params)


def path_name(path: tuple) -> str:
  """A JAX key path of nested dicts as "a/b/c"."""
  return "/".join(str(part.key) for part in path)

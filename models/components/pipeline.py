"""Pipeline: stages of a stack on different devices, microbatches passed between them.

You are in: models/components, below stack.py. Every device group keeps its layers, a
stage; a microbatch moves on by one stage a tick, so that all stages compute at once, each
on another microbatch (GPipe, Huang et al. 2019, arXiv:1811.06965, section 2). One
program computes all stages: a stage is one place of an array axis that the mesh splits.
The backward pass is the gradient of that program: the same ticks in reverse.

Shapes: B batch, T tokens, D embed, L layers, S stages, M microbatches, R groups of
devices that have rows of their own, b rows of a microbatch in one group: B = R b M.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding, PartitionSpec

ROWS = "rows"  # name of the axis R while tracing


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stages:
  """Devices among which the layers of a stack are split: one axis of a mesh.

  rows: mesh axes over which the rows of a microbatch are spread. constrain(x, axes): pins
  activations of one stage and one group of rows.
  """

  mesh: jax.sharding.Mesh
  axis: str
  rows: tuple[str, ...]
  constrain: Callable

  @property
  def count(self) -> int:
    """S, the number of stages."""
    return self.mesh.shape[self.axis]

  @property
  def groups(self) -> int:
    """R, the number of groups of devices that have rows of their own."""
    return math.prod(self.mesh.shape[axis] for axis in self.rows)

  def pin(self, x: jax.Array, *axes: str | tuple[str, ...] | None) -> jax.Array:
    """x with these mesh axes for its first axes; XLA places the others."""
    rest = (PartitionSpec.UNCONSTRAINED,) * (x.ndim - len(axes))
    spec = PartitionSpec(*axes, *rest)
    return jax.lax.with_sharding_constraint(x, NamedSharding(self.mesh, spec))


def microbatches_of(stages: Stages, asked: int | None, batch: int) -> int:
  """M. Raises ValueError when a batch does not divide."""
  count = stages.count if asked is None else asked
  if batch % (stages.groups * count):
    raise ValueError(
      f"A batch of {batch} rows does not divide over {count} microbatches of rows on "
      f"{stages.groups} groups of devices. Change Execution.pipeline_microbatches, the "
      f"batch (a multiple of {stages.groups * count}), or the mesh."
    )
  return count


def ticks(stages: int, microbatches: int) -> int:
  """Turns of the loop: the last microbatch enters after M - 1 and takes S."""
  return microbatches + stages - 1


def pipelined(
  stages: Stages,
  microbatches: int,
  stage: Callable,
  layers: object,
  shared: object,
  rows: dict[str, jax.Array],
) -> tuple[jax.Array, dict[str, jax.Array]]:
  """(x_BTD after all layers, means of extra losses over microbatches, by name).

  stage(layers, shared, rows) -> (x, extra losses): some layers on some rows; it may sum
  over the axis ROWS. layers: a tree of [L, ...]. shared: a tree of what all layers and
  rows use. rows: arrays [B, ...] that travel with their microbatch; "x" is what goes
  through the layers. Raises ValueError when L does not divide over the stages.
  """
  S, M = stages.count, microbatches
  # A copy for each group of rows: gradients add up where they are, tick for tick, and
  # are summed over groups once, after the loop.
  weights = jax.tree.map(lambda x: _copies(stages, _split(x, S)), layers)
  shared = jax.tree.map(
    lambda x: _copies(stages, jnp.broadcast_to(x, (S, *x.shape))), shared
  )
  entering = {name: _microbatches(stages, x, M) for name, x in rows.items()}
  compute = jax.vmap(
    jax.vmap(stage, axis_name=ROWS, spmd_axis_name=stages.rows),
    spmd_axis_name=stages.axis,
  )

  def tick(held, now):
    number, new = now
    held = {name: _entered(stages, held[name], new[name]) for name in held}
    x, aux = compute(weights, shared, held)
    x = stages.pin(x, stages.axis, stages.rows)
    at = number - jnp.arange(S)  # the microbatch of each stage
    busy = (at >= 0) & (at < M)
    aux = {k: jnp.sum(jnp.where(busy, jnp.mean(v, 1), 0.0)) for k, v in aux.items()}
    return held | {"x": x}, (x, aux)

  # A stage that has no work yet, or no more, computes what nobody reads. It must be
  # numbers all the same: 0 * NaN is NaN in a gradient.
  held, last = (
    {name: jax.lax.stop_gradient(x[i]) for name, x in entering.items()} for i in (0, -1)
  )
  turns = ticks(S, M)
  entering = {
    name: jnp.concatenate([x, *[last[name][None]] * (turns - M)])
    for name, x in entering.items()
  }
  _, (x, aux) = jax.lax.scan(tick, held, (jnp.arange(turns), entering))
  return _left(stages, x[S - 1 :]), {k: jnp.sum(v) / M for k, v in aux.items()}


def _split(x: jax.Array, stages: int) -> jax.Array:
  """[L, ...] -> [S, L / S, ...]."""
  return x.reshape(stages, x.shape[0] // stages, *x.shape[1:])


def _copies(stages: Stages, x: jax.Array) -> jax.Array:
  """[S, ...] -> [S, R, ...], of which a device has one place."""
  x = jnp.broadcast_to(x[:, None], (x.shape[0], stages.groups, *x.shape[1:]))
  return stages.pin(x, stages.axis, stages.rows)


def _microbatches(stages: Stages, x: jax.Array, count: int) -> jax.Array:
  """[B, ...] -> [M, S, R, b, ...], the same for every stage: only the first reads it, but
  gradients of one array would be summed over stages in every tick. Microbatch i has rows
  i, i + M, ..., as have those of `Run.microbatches`."""
  x = stages.pin(x, stages.rows)
  x = x.reshape(stages.groups, -1, count, *x.shape[1:])
  x = jnp.moveaxis(x, 2, 0)[:, None]
  x = jnp.broadcast_to(x, (count, stages.count, *x.shape[2:]))
  return stages.pin(x, None, stages.axis, stages.rows)


def _entered(stages: Stages, held: jax.Array, new: jax.Array) -> jax.Array:
  """[S, R, b, ...] one stage on; the first takes its `new`."""
  pairs = [(i, i + 1) for i in range(stages.count - 1)]
  at = PartitionSpec(stages.axis)

  @functools.partial(
    jax.shard_map,
    mesh=stages.mesh,
    in_specs=(at, at),
    out_specs=at,
    axis_names={stages.axis},
    check_vma=False,
  )
  def passed(held, new):
    before = jax.lax.ppermute(held, stages.axis, pairs)
    return jnp.where(jax.lax.axis_index(stages.axis) == 0, new, before)

  return stages.pin(passed(held, new), stages.axis, stages.rows)


def _left(stages: Stages, x: jax.Array) -> jax.Array:
  """[M, S, R, b, ...] -> [B, ...] of the last stage."""
  last = jnp.arange(stages.count) == stages.count - 1
  last = last.reshape(1, -1, *(1,) * (x.ndim - 2))
  # A sum over stages, for XLA would gather all of them to slice one.
  x = jnp.sum(jnp.where(last, x, 0), axis=1)
  x = jnp.moveaxis(x, 0, 2)
  return x.reshape(-1, *x.shape[3:])

"""Pipeline: stages of a stack on different devices, microbatches passed between them.

You are in: models/components, below stack.py. Every device group keeps its layers, a
stage; a microbatch moves on by one stage a tick, so that all stages compute at once, each
on another microbatch (GPipe, Huang et al. 2019, arXiv:1811.06965, section 2). With
`repeats`, each device has several shorter stages and a microbatch goes round as often
(the interleaved schedule of Narayanan et al. 2021, arXiv:2104.04473, section 2.2). One
program computes all stages: a stage is one place of an array axis that the mesh splits.
The backward pass is the gradient of that program: the same ticks in reverse.

Shapes: B batch, T tokens, D embed, L layers, S stages, M microbatches, R groups of
devices that have rows of their own, b rows of a microbatch in one group: B = R b M, V
repeats.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding, PartitionSpec

from models.components import deal

ROWS = "rows"  # name of the axis R while tracing


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stages:
  """Devices among which the layers of a stack are split: one axis of a mesh.

  rows: mesh axes over which the rows of a microbatch are spread. constrain(x, axes): pins
  activations of one stage and one group of rows. repeats: V, how often a microbatch goes
  through all devices.
  """

  mesh: jax.sharding.Mesh
  axis: str
  rows: tuple[str, ...]
  constrain: Callable
  repeats: int = 1

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
  if stages.repeats > 1 and count % stages.count:
    raise ValueError(
      f"Execution.pipeline_microbatches={count} must be a multiple of {stages.count} "
      f"stages with Execution.pipeline_repeats={stages.repeats}: as many go round together."
    )
  if batch % (stages.groups * count):
    raise ValueError(
      f"A batch of {batch} rows does not divide over {count} microbatches of rows on "
      f"{stages.groups} groups of devices. Change Execution.pipeline_microbatches, the "
      f"batch (a multiple of {stages.groups * count}), or the mesh."
    )
  return count


def ticks(stages: int, microbatches: int, repeats: int = 1) -> int:
  """Ticks of the loop, in each of which a stage computes L / (S V) layers of a microbatch.

  The last microbatch enters after M - 1 and takes S. With repeats the loop goes on to
  the end of a turn of S, one tick longer than it had to.
  """
  if repeats == 1:
    return microbatches + stages - 1
  return microbatches * repeats + stages


def pipelined(
  stages: Stages,
  microbatches: int,
  stage: Callable,
  kept: Callable,
  layers: object,
  shared: object,
  rows: dict[str, jax.Array],
) -> tuple[jax.Array, dict[str, jax.Array]]:
  """(x_BTD after all layers, means of extra losses over microbatches, by name).

  stage(layers, shared, rows) -> (x, extra losses): some layers on some rows; it may sum
  over the axis ROWS. kept: what jax.checkpoint does to a tick's computation, or nothing.
  layers: a tree of [L, ...]. shared: a tree of what all layers and rows use. rows: arrays
  [B, ...] that travel with their microbatch; "x" is what goes through the layers. L is a
  multiple of S V, and with V above 1 M is one of S.
  """
  S, M, V = stages.count, microbatches, stages.repeats
  weights = jax.tree.map(lambda x: pieces(stages, x), layers)
  shared = jax.tree.map(lambda x: everywhere(stages, x), shared)
  entering = {name: _microbatches(stages, x, M) for name, x in rows.items()}
  compute = jax.vmap(
    jax.vmap(stage, axis_name=ROWS, spmd_axis_name=stages.rows),
    spmd_axis_name=stages.axis,
  )

  @kept
  def computed(weights, shared, held, turn):
    return compute(at_turn(stages, weights, turn), shared, held)

  def tick(held, now):
    number, new = now
    at = number - jnp.arange(S)  # the work of each stage, of which there are M V
    turn = at // S % V  # how often the microbatch has come round
    held = {k: passed(stages, held[k], new[k], turn == 0) for k in held}
    x, aux = computed(weights, shared, held, turn)
    x = stages.pin(x, stages.axis, stages.rows)
    busy = (at >= 0) & (at < M * V)
    aux = {k: jnp.sum(jnp.where(busy, jnp.mean(v, 1), 0.0)) for k, v in aux.items()}
    return held | {"x": x}, (x, aux)

  # A stage that has no work yet, or no more, computes what nobody reads. It must be
  # numbers all the same: 0 * NaN is NaN in a gradient.
  held, last = (
    {name: jax.lax.stop_gradient(x[i]) for name, x in entering.items()} for i in (0, -1)
  )
  if V == 1:
    x, aux = _through(tick, held, entering, last, count=ticks(S, M))
    x = x[S - 1 :]
  else:
    x, aux = _around(tick, held, entering, stages=S, repeats=V)
    # Of V turns of S microbatches the last one is what leaves.
    x = x[S - 1 : M * V + S - 1].reshape(-1, V, S, *x.shape[1:])[:, -1]
    # Said, for XLA would gather what was sliced from all turns.
    x = stages.pin(x.reshape(M, *x.shape[2:]), None, stages.axis, stages.rows)
  return _left(stages, x), {k: jnp.sum(v) / M for k, v in aux.items()}


def _through(tick: Callable, held: dict, entering: dict, last: dict, *, count: int):
  """(x, extra losses) of all stages after each tick. After M, the last enters again."""
  entering = {
    name: jnp.concatenate([x, *[last[name][None]] * (count - x.shape[0])])
    for name, x in entering.items()
  }
  return jax.lax.scan(tick, held, (jnp.arange(count), entering))[1]


def _around(tick: Callable, held: dict, entering: dict, *, stages: int, repeats: int):
  """The same where S microbatches go round V times before the next S enter: the first
  comes back just when the last has left the first stage."""
  entering = {k: x.reshape(-1, stages, *x.shape[1:]) for k, x in entering.items()}
  groups = entering["x"].shape[0]

  def turn(held, number):
    group = jnp.minimum(number // repeats, groups - 1)
    new = {k: x[group] for k, x in entering.items()}
    return jax.lax.scan(tick, held, (number * stages + jnp.arange(stages), new))

  # One turn more, until the last stage is done.
  found = jax.lax.scan(turn, held, jnp.arange(groups * repeats + 1))[1]
  return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), found)


def pieces(stages: Stages, x: jax.Array) -> jax.Array:
  """[L, ...] -> [S, R, V, L / (S V), ...]: for each stage and group the layers of each
  turn."""
  if stages.repeats == 1:
    x = x.reshape(stages.count, 1, x.shape[0] // stages.count, *x.shape[1:])
  else:
    x = deal.dealt(x, mesh=stages.mesh, axis=stages.axis, hands=stages.repeats)
  return _copies(stages, x)


def at_turn(stages: Stages, weights: object, turn: jax.Array) -> object:
  """Of `pieces` those [S, R, L / (S V), ...] that each stage computes at its turn [S]."""
  if stages.repeats == 1:
    return jax.tree.map(lambda x: x[:, :, 0], weights)
  return jax.tree.map(lambda x: picked(stages, x, turn), weights)


def everywhere(stages: Stages, x: jax.Array) -> jax.Array:
  """[...] -> [S, R, ...]."""
  return _copies(stages, jnp.broadcast_to(x, (stages.count, *x.shape)))


def _copies(stages: Stages, x: jax.Array) -> jax.Array:
  """[S, ...] -> [S, R, ...], of which a device has one place: gradients add up where they
  are, tick for tick, and are summed over groups once, after the loop."""
  x = jnp.broadcast_to(x[:, None], (x.shape[0], stages.groups, *x.shape[1:]))
  return stages.pin(x, stages.axis, stages.rows)


def picked(stages: Stages, x: jax.Array, at: jax.Array) -> jax.Array:
  """[S, R, C, ...] -> [S, R, ...]: of C places the one that each stage asks for, at [S]."""
  # A slice in each device: of a batch of indices XLA would make a gather of all.
  pick = lambda x, at: jax.lax.dynamic_index_in_dim(x, at[0], 2, keepdims=False)
  return by_stage(stages, pick)(x, at)


def passed(
  stages: Stages,
  held: jax.Array,
  new: jax.Array,
  enters: jax.Array,
  *,
  back: bool = False,
) -> jax.Array:
  """[S, R, b, ...] one stage on, or back. At the end of the line that nobody passes to, a
  stage takes its `new` where `enters` [S]; else, with repeats, what the other end had."""
  first, step = (stages.count - 1, -1) if back else (0, 1)
  line = [first + step * i for i in range(stages.count)]
  pairs = list(zip(line[:-1], line[1:], strict=True))
  if stages.repeats > 1:
    pairs.append((line[-1], first))

  def move(held, new, enters):
    before = jax.lax.ppermute(held, stages.axis, pairs)
    takes = (jax.lax.axis_index(stages.axis) == first) & enters[0]
    return jnp.where(takes, new, before)

  moved = by_stage(stages, move)(held, new, enters)
  return stages.pin(moved, stages.axis, stages.rows)


def by_stage(stages: Stages, function: Callable) -> Callable:
  """`function` of arrays [S, ...], computed by each stage for its own place [1, ...]."""
  at = PartitionSpec(stages.axis)
  return jax.shard_map(
    function,
    mesh=stages.mesh,
    in_specs=at,
    out_specs=at,
    axis_names={stages.axis},
    check_vma=False,
  )


def by_microbatch(stages: Stages, x: jax.Array, count: int) -> jax.Array:
  """[B, ...] -> [M, R, b, ...]. Microbatch i has rows i, i + M, ..., as have those of
  `Run.microbatches`."""
  x = stages.pin(x, stages.rows)
  x = x.reshape(stages.groups, -1, count, *x.shape[1:])
  return stages.pin(jnp.moveaxis(x, 2, 0), None, stages.rows)


def _microbatches(stages: Stages, x: jax.Array, count: int) -> jax.Array:
  """[B, ...] -> [M, S, R, b, ...], the same for every stage: only the first reads it, but
  gradients of one array would be summed over stages in every tick."""
  x = by_microbatch(stages, x, count)[:, None]
  x = jnp.broadcast_to(x, (count, stages.count, *x.shape[2:]))
  return stages.pin(x, None, stages.axis, stages.rows)


def _left(stages: Stages, x: jax.Array) -> jax.Array:
  """[M, S, R, b, ...] -> [B, ...] of the last stage."""
  x = jnp.moveaxis(of_stage(x, stages.count - 1, axis=1), 0, 2)
  return x.reshape(-1, *x.shape[3:])


def of_stage(x: jax.Array, stage: int, *, axis: int = 0) -> jax.Array:
  """The place of one stage, without the axis of stages."""
  own = jnp.arange(x.shape[axis]) == stage
  own = own.reshape(-1, *(1,) * (x.ndim - 1 - axis))
  return joined(jnp.where(own, x, jnp.zeros_like(x)), axis=axis)


def joined(x: jax.Array, *, axis: int = 0) -> jax.Array:
  """The sum over stages of what is 0 in all but one: to slice that one, XLA would gather
  all. In the dtype of x, where jnp.sum would send float32."""
  return jax.lax.reduce(x, jnp.zeros((), x.dtype), jax.lax.add, (axis,))

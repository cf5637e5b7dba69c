"""Alternating: a pipeline whose backward pass begins while its forward pass goes on.

You are in: models/components, beside pipeline.py. In every tick a stage computes one
microbatch forward and another one backward ("one forward, one backward", 1F1B: Narayanan
et al. 2021, arXiv:2104.04473, section 2.2; interleaved with `repeats`). So what waits for
its backward pass is the input of at most 2 V S - 1 pieces of a stage, however many
microbatches there are; what a stage computed of it, it computes again. All stages take a
tick at once, so it is twice as many as where each goes on as soon as it can.

For that the loss of a microbatch is computed in the loop, by all stages, each for a part
of the tokens. The gradient is what the loop itself adds up: `alternating` has it when its
value is known, and keeps it (as losses.py does).

Shapes: as in pipeline.py, and Q slots of what waits.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from models.components import pipeline
from models.components.pipeline import ROWS, Stages
from models.components.pipeline_schedule import Schedule, Work


class Factors(NamedTuple):
  """aux: what extra losses are multiplied by in the objective. scale: what gradients are
  multiplied by as they are computed, so that 16 bits hold them; they leave without it."""

  aux: jax.Array
  scale: jax.Array


def alternating(
  stages: Stages,
  microbatches: int,
  stage: Callable,
  tail: Callable,
  layers: tuple[jax.Array, object],
  shared: object,
  rows: dict[str, jax.Array],
  answers: object,
  factors: Factors,
) -> tuple[jax.Array, dict[str, jax.Array], dict[str, jax.Array]]:
  """(objective, sums, means of extra losses over microbatches).

  stage, layers, shared, rows: as in `pipeline.pipelined`; layers are (their numbers, their
  parameters). tail(x, rows, answers, part) -> (objective, sums): of the rows of a
  microbatch, after all layers, the `part`-th of S parts of what is to be summed; it may use
  parameters. Its rows are those that have no gradient. answers: a tree of [B, ...] for it.
  The objective alone has a gradient.
  """
  held = lambda x: pipeline.by_microbatch(stages, x, microbatches)
  everywhere = functools.partial(pipeline.everywhere, stages)
  pieces = functools.partial(pipeline.pieces, stages)

  def example(x: jax.Array) -> jax.ShapeDtypeStruct:
    row = x.shape[1:]
    return jax.ShapeDtypeStruct(
      (x.shape[0] // stages.groups // microbatches, *row), x.dtype
    )

  numbers, parameters = layers
  moves = {name: row for name, row in rows.items() if name != "x"}
  learns = {name: row for name, row in moves.items() if _is_float(row)}
  fixed = {name: row for name, row in moves.items() if name not in learns}
  part = jax.ShapeDtypeStruct((), jnp.int32)
  # Its parameters, for a loop that has their gradient must be given them.
  tail, used = jax.closure_convert(
    tail, *jax.tree.map(example, (rows["x"], fixed, answers)), part
  )
  learned = {
    "layers": jax.tree.map(pieces, parameters),
    "shared": jax.tree.map(everywhere, shared),
    "tail": jax.tree.map(everywhere, used),
    "rows": {name: _for_stages(stages, held(row)) for name, row in learns.items()},
    "x": _by_tokens(stages, held(rows["x"]), 3),
  }
  given = {
    "numbers": pieces(numbers),
    "rows": {name: _for_stages(stages, held(row)) for name, row in fixed.items()},
    "answers": jax.tree.map(held, answers),
    "factors": factors,
  }
  schedule = Schedule(stages.count, microbatches, stages.repeats)
  return _summed(_Loop(stages, schedule, stage, tail), learned, given)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _summed(loop: _Loop, learned: dict, given: dict) -> tuple:
  return _forward(loop, learned, given)[0]


def _forward(loop, learned, given):
  done = loop.run(learned, given)
  mean = lambda x: jnp.sum(jnp.mean(x, axis=1)) / loop.schedule.microbatches
  aux = {name: mean(x) for name, x in done["aux"].items()}
  factors = given["factors"]
  objective = jnp.sum(done["objective"]) + factors.aux * sum(aux.values())
  sums = jax.tree.map(jnp.sum, done["sums"])
  return (objective, sums, aux), (done["gradients"], factors.scale)


def _backward(loop, kept, cotangents):
  gradients, scale = kept
  scale = cotangents[0] / scale
  return jax.tree.map(lambda g: (scale * g).astype(g.dtype), gradients), None


_summed.defvjp(_forward, _backward)


@dataclasses.dataclass(frozen=True, eq=False)
class _Loop:
  """The ticks. What they change is a dictionary of x, dx [S, R, b, ...]: outputs, and
  gradients of inputs, of the tick before; waiting [S, R, Q, b, ...]: inputs; and of what
  was added up so far: gradients of `learned`, objective, sums, aux [S, R]."""

  stages: Stages
  schedule: Schedule
  stage: Callable
  tail: Callable

  def run(self, learned: dict, given: dict) -> dict:
    """The dictionary after all ticks."""
    at, (S, M, V) = self.schedule, dataclasses.astuple(self.schedule)

    def ticks(*parts: Callable) -> Callable:
      def body(carry, tick):
        for part in parts:
          carry = part(learned, given, carry, tick)
        return carry, None

      return lambda carry, start, count: jax.lax.scan(
        body, carry, start + jnp.arange(count)
      )[0]

    both = ticks(self.forward, self.backward)
    scored = ticks(self.forward, self.score, self.backward)
    carry = ticks(self.forward)(self.start(learned, given), 0, at.lead)
    # Microbatches leave the last stage as they came, S after S; then for (V - 1) S ticks
    # none does.
    carry = scored(carry, at.lead, M if V == 1 else S)
    if V > 1:

      def group(carry, start):
        carry = both(carry, start, (V - 1) * S)
        return scored(carry, start + (V - 1) * S, S), None

      starts = at.lead + S + jnp.arange(M // S - 1) * S * V
      carry = jax.lax.scan(group, carry, starts)[0]
    return ticks(self.backward)(carry, at.ticks - at.lead, at.lead)

  def start(self, learned: dict, given: dict) -> dict:
    """Before the first tick. A stage without work computes with what is there: numbers."""
    x = _for_all(self.stages, learned["x"][0])
    work = self.schedule.forward(0, jnp.arange(self.stages.count))
    _, aux = jax.eval_shape(lambda: self._computed(learned, given, work, x))
    (objective, sums), _ = jax.eval_shape(lambda: self._scored(learned, given, x, 0))
    slots = (*x.shape[:2], self.schedule.slots, *x.shape[2:])

    def nothing(leaf, *, pin: Callable = self._pinned):
      return pin(jnp.zeros(leaf.shape, leaf.dtype))

    by_tokens = lambda x: _by_tokens(self.stages, x, 3)
    return {
      "x": x,
      "dx": nothing(x),
      "waiting": nothing(jax.ShapeDtypeStruct(slots, x.dtype)),
      "gradients": jax.tree.map(nothing, learned)
      | {"x": nothing(learned["x"], pin=by_tokens)},
      "objective": nothing(objective),
      "sums": jax.tree.map(nothing, sums),
      "aux": jax.tree.map(nothing, aux),
    }

  def forward(self, learned, given, carry: dict, tick: jax.Array) -> dict:
    """Every stage passes on what it computed, and computes what it was passed."""
    work = self.schedule.forward(tick, jnp.arange(self.stages.count))
    new = _for_all(self.stages, _at(learned["x"], work.microbatch[0]))
    x = pipeline.passed(self.stages, carry["x"], new, work.turn == 0)
    y, aux = self._computed(learned, given, work, x)
    return carry | {
      "x": self._pinned(y),
      "waiting": _put(self.stages, carry["waiting"], work.slot, x),
      "aux": {k: carry["aux"][k] + _where(work.busy, v) for k, v in aux.items()},
    }

  def score(self, learned, given, carry: dict, tick: jax.Array) -> dict:
    """Scores what the last stage computed; its gradient lies ready for `backward`."""
    last = self.stages.count - 1
    x = _for_all(self.stages, pipeline.of_stage(carry["x"], last))
    number = self.schedule.forward(tick, last).microbatch
    (objective, sums), found = self._scored(learned, given, x, number)
    scale = given["factors"].scale
    used, dx = jax.tree.map(lambda g: (scale * g).astype(g.dtype), found)
    total = carry["gradients"]
    return carry | {
      "scored": pipeline.joined(dx),
      "objective": carry["objective"] + objective,
      "sums": jax.tree.map(jnp.add, carry["sums"], sums),
      "gradients": total | {"tail": jax.tree.map(jnp.add, total["tail"], used)},
    }

  def backward(self, learned, given, carry: dict, tick: jax.Array) -> dict:
    """Every stage passes a gradient back, and computes that of the input that waits."""
    stages = self.stages
    work = self.schedule.backward(tick, jnp.arange(stages.count))
    new = carry.get("scored", jnp.zeros_like(carry["x"][0]))
    first = work.turn == stages.repeats - 1
    dy = pipeline.passed(stages, carry["dx"], _for_all(stages, new), first, back=True)
    x = pipeline.picked(stages, carry["waiting"], work.slot)
    found = self._pulled(learned, given, work, x, dy)
    found = jax.tree.map(lambda g: _where(work.busy, g), found)
    total, add = carry["gradients"], functools.partial(_add, stages)
    layers, rows, shared = (
      jax.tree.map(function, total[name], found[name])
      for name, function in (
        ("layers", functools.partial(add, work.turn)),
        ("rows", functools.partial(add, work.microbatch)),
        ("shared", jnp.add),
      )
    )
    # What leaves the first stage for good; until then, what is there already.
    dx = _by_tokens(stages, pipeline.of_stage(found["x"], 0), 2)
    number = jnp.clip(work.microbatch[0], 0, self.schedule.microbatches - 1)
    dx = jnp.where(work.busy[0] & (work.turn[0] == 0), dx, _at(total["x"], number))
    dx = jax.lax.dynamic_update_index_in_dim(total["x"], dx, number, 0)
    total = total | {"layers": layers, "rows": rows, "shared": shared, "x": dx}
    carry = {name: value for name, value in carry.items() if name != "scored"}
    return carry | {"dx": self._pinned(found["x"]), "gradients": total}

  def _computed(self, learned, given, work: Work, x: jax.Array) -> tuple:
    """(outputs, extra losses) of all stages."""
    chosen, fixed = self._chosen(learned, work), self._chosen(given, work)
    return self._vmapped(self._one)(chosen, fixed, x)

  def _pulled(self, learned, given, work: Work, x: jax.Array, dy: jax.Array) -> dict:
    """Gradients of all stages, by what they are of."""
    factors = given["factors"]
    means = self.schedule.microbatches * self.stages.groups
    share = factors.scale * factors.aux / means

    def one(chosen, fixed, x, dy):
      (_, aux), pull = jax.vjp(lambda c, x: self._one(c, fixed, x), chosen, x)
      d_chosen, dx = pull(
        (dy, {name: share.astype(v.dtype) for name, v in aux.items()})
      )
      return d_chosen | {"x": dx}

    chosen, fixed = self._chosen(learned, work), self._chosen(given, work)
    return self._vmapped(one)(chosen, fixed, x, dy)

  def _one(self, chosen: dict, fixed: dict, x: jax.Array) -> tuple:
    """One stage and one group of rows."""
    layers = (fixed["numbers"], chosen["layers"])
    rows = chosen["rows"] | fixed["rows"] | {"x": x}
    return self.stage(layers, chosen["shared"], rows)

  def _chosen(self, tree: dict, work: Work) -> dict:
    """Of `learned` or `given` what stages read for this work: [S, R, ...]."""
    pick = lambda at: lambda x: pipeline.picked(self.stages, x, at)
    found = {"rows": jax.tree.map(pick(work.microbatch), tree["rows"])}
    if "shared" in tree:
      found["shared"] = tree["shared"]
    for name in ("layers", "numbers"):
      if name in tree:
        found[name] = pipeline.at_turn(self.stages, tree[name], work.turn)
    return found

  def _scored(self, learned, given, x: jax.Array, number: jax.Array) -> tuple:
    """((objective, sums), gradients of what `tail` uses and of x), each stage its part."""
    answers = jax.tree.map(lambda x: _at(x, number), given["answers"])
    rows = jax.tree.map(lambda x: _at(x, number, axis=2), given["rows"])

    def one(used, x, rows, answers, part):
      tail = lambda used, x: self.tail(x, rows, answers, part, *used)
      return jax.value_and_grad(tail, (0, 1), has_aux=True)(used, x)

    axis, groups = self.stages.axis, self.stages.rows
    one = jax.vmap(one, in_axes=(0, 0, 0, 0, None), spmd_axis_name=groups)
    one = jax.vmap(one, in_axes=(0, 0, 0, None, 0), spmd_axis_name=axis)
    return one(learned["tail"], x, rows, answers, jnp.arange(self.stages.count))

  def _vmapped(self, function: Callable) -> Callable:
    rows = jax.vmap(function, axis_name=ROWS, spmd_axis_name=self.stages.rows)
    return jax.vmap(rows, spmd_axis_name=self.stages.axis)

  def _pinned(self, x: jax.Array) -> jax.Array:
    return self.stages.pin(x, self.stages.axis, self.stages.rows)


def _for_stages(stages: Stages, x: jax.Array) -> jax.Array:
  """[M, R, b, ...] -> [S, R, M, b, ...]."""
  return _for_all(stages, jnp.moveaxis(x, 0, 1))


def _for_all(stages: Stages, x: jax.Array) -> jax.Array:
  """[R, ...] -> [S, R, ...], the same for every stage."""
  x = jnp.broadcast_to(x, (stages.count, *x.shape))
  return stages.pin(x, stages.axis, stages.rows)


def _by_tokens(stages: Stages, x: jax.Array, axis: int) -> jax.Array:
  """[..., R, b, T, D], T at `axis`: tokens spread over the stages, where they divide."""
  spread = stages.axis if x.shape[axis] % stages.count == 0 else None
  return stages.pin(x, *(None,) * (axis - 2), stages.rows, None, spread)


def _where(busy: jax.Array, x: jax.Array) -> jax.Array:
  """x [S, ...] where a stage is busy [S], else 0: also where x is no number."""
  return jnp.where(busy.reshape(-1, *(1,) * (x.ndim - 1)), x, jnp.zeros_like(x))


def _is_float(x: jax.Array) -> bool:
  return jnp.issubdtype(x.dtype, jnp.floating)


def _at(x: jax.Array, number: jax.Array, *, axis: int = 0) -> jax.Array:
  return jax.lax.dynamic_index_in_dim(x, number, axis, keepdims=False)


def _put(stages: Stages, x: jax.Array, at: jax.Array, new: jax.Array) -> jax.Array:
  """x [S, R, C, ...] with `new` [S, R, ...] at the place of each stage, at [S]."""

  def put(x, at, new):
    return jax.lax.dynamic_update_index_in_dim(x, new, at[0], 2)

  return pipeline.by_stage(stages, put)(x, at, new)


def _add(stages: Stages, at: jax.Array, x: jax.Array, more: jax.Array) -> jax.Array:
  """The same with `more` added to what is there."""

  def add(x, at, more):
    there = jax.lax.dynamic_index_in_dim(x, at[0], 2, keepdims=False)
    return jax.lax.dynamic_update_index_in_dim(x, there + more, at[0], 2)

  return pipeline.by_stage(stages, add)(x, at, more)

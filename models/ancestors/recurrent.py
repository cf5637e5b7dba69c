"""Recurrent stack: cells above one another, run over time with `lax.scan`.

You are in: models/ancestors. It stands where a `Stack` of blocks does. A state never
crosses from one packed document into the next. While decoding, the cache keeps the
state after every token, not the last one alone: rows of a batch stand at different
indices, and a row may go on from any of its tokens.

Shapes: B batch, T tokens, S rows of the cache, D embed, H hidden.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx

from models.ancestors.cells import State
from models.components.context import Context
from models.components.spec import spec


@spec
class RecurrentStack:
  """Cells in order, dropout between them (Zaremba et al. 2014, arXiv:1409.2329, 3.2).

  cells: specs of cells.py; the last one puts out what the model is wide. reverse: every
  document is read from its end; for encoders. start: what a document's first state is,
  None for zeros, else a spec whose layer gives [B, T, H] for each array of each cell.
  """

  cells: tuple
  reverse: bool = False
  start: object = None

  @property
  def blocks(self) -> tuple:
    """No blocks with attention, which is what asks for them."""
    return ()

  def build(self, dim: int) -> RecurrentStackLayer:
    if self.cells[-1].widths[0] != dim:
      raise ValueError(
        f"The last of RecurrentStack.cells puts out {self.cells[-1].widths[0]} features, "
        f"the head reads the model's dim={dim}. Make them equal."
      )
    return RecurrentStackLayer(self, dim)


class RecurrentStackLayer(nnx.Module):
  """x_BTD -> (x_BTH, cache, aux). Cell `i` is `cell_<i>`."""

  def __init__(self, spec: RecurrentStack, dim: int):
    self.spec = spec
    for number, cell in enumerate(spec.cells):
      setattr(self, f"cell_{number}", cell.build(dim))
      dim = cell.widths[0]
    self.start = None if spec.start is None else spec.start.build(spec.cells)

  def __call__(
    self, x_BTD: jax.Array, ctx: Context, cache: dict | None = None
  ) -> tuple[jax.Array, dict | None, dict]:
    states, cache = self.states(x_BTD, ctx, cache)
    return ctx.layer(len(states)).drop(states[-1][0], "final"), cache, {}

  def states(
    self, x_BTD: jax.Array, ctx: Context, cache: dict | None = None
  ) -> tuple[list[State], dict | None]:
    """The states of every cell after each token, arrays [B, T, H], and the cache."""
    found, new_cache = [], {}
    first_BT = firsts(ctx, self.spec.reverse)
    for number in range(len(self.spec.cells)):
      name = f"cell_{number}"
      cell = getattr(self, name)
      states, _ = unroll(
        lambda state, inputs, cell=cell: (cell.step(state, inputs), None),
        cell.project(x_BTD),
        before=before(self.spec.cells[number], x_BTD, ctx, cache and cache[name]),
        first_BT=first_BT,
        start=None if self.start is None else self.start(ctx, number),
        reverse=self.spec.reverse,
      )
      if cache is not None:
        new_cache[name] = cache[name] | {"self": remember(cache[name], states, ctx)}
      found.append(states)
      x_BTD = ctx.layer(number).drop(states[0], "cell")
    return found, (new_cache if cache is not None else None)

  def empty_cache(self, batch: int, length: int, dtype: object) -> dict:
    """Room for the states after `length` tokens, {cell: {"self": arrays}}."""
    return {
      f"cell_{number}": {"self": room(cell, batch, length, dtype)}
      for number, cell in enumerate(self.spec.cells)
    }

  def cross_cache(self, memory_BSD: jax.Array) -> dict:
    """Nothing of an encoder's output is kept: it only starts the recurrence."""
    return {f"cell_{number}": {} for number in range(len(self.spec.cells))}


def firsts(ctx: Context, reverse: bool = False) -> jax.Array:
  """Boolean [B, T]: where a document begins, in the order of reading."""
  if ctx.index_B is None:
    return begins(ctx.segments_BT, reverse)
  return ctx.index_B[:, None] + jnp.arange(ctx.segments_BT.shape[1]) == 0


def begins(segments_BT: jax.Array, reverse: bool = False) -> jax.Array:
  """`firsts` of whole rows."""
  change = segments_BT[:, 1:] != segments_BT[:, :-1]
  edge = jnp.ones((segments_BT.shape[0], 1), bool)
  return jnp.concatenate([change, edge] if reverse else [edge, change], axis=1)


def unroll(
  step: Callable,
  inputs: object,
  *,
  before: State,
  first_BT: jax.Array,
  start: State | None,
  reverse: bool = False,
) -> tuple[State, object]:
  """States after every token, arrays [B, T, H], and what else `step` gives.

  step(state, inputs of a token) -> (state, anything). inputs: a tree of [B, T, ...].
  start: [B, T, H] for each array of the state, of which those count that stand where a
  document begins; None for zeros.
  """

  def body(state: State, now: tuple) -> tuple[State, tuple]:
    one, first_B, begun = now
    if begun is None:
      begun = jax.tree.map(jnp.zeros_like, state)
    state = jax.tree.map(lambda b, s: jnp.where(first_B[:, None], b, s), begun, state)
    state, rest = step(state, one)
    return state, (state, rest)

  def turned(tree: object) -> object:
    return jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1), tree)

  in_time = turned((inputs, first_BT, start))
  return turned(jax.lax.scan(body, before, in_time, reverse=reverse)[1])


def room(cell: object, batch: int, length: int, dtype: object) -> dict:
  """An empty cache of a cell's states; the leading axis is that of a `Stack`'s layers."""
  return {
    f"state_{number}": jnp.zeros((1, batch, length, width), dtype)
    for number, width in enumerate(cell.widths)
  }


def before(cell: object, x_BTD: jax.Array, ctx: Context, cache: dict | None) -> State:
  """The states [B, H] of a cell before the first token of this call."""
  if cache is None:
    batch, dtype = x_BTD.shape[0], x_BTD.dtype
    return tuple(jnp.zeros((batch, width), dtype) for width in cell.widths)
  rows = jnp.maximum(ctx.index_B - 1, 0)[:, None, None]
  kept = cache["self"]
  return tuple(
    jnp.take_along_axis(kept[f"state_{number}"][0], rows, axis=1)[:, 0]
    for number in range(len(cell.widths))
  )


def remember(cache: dict, states: State, ctx: Context) -> dict:
  """The cache with this call's states [B, T, H] written at each row's index."""

  def row(kept, new, index):
    return jax.lax.dynamic_update_slice(kept, new.astype(kept.dtype), (index, 0))

  kept = cache["self"]
  return {
    f"state_{number}": jax.vmap(row)(kept[f"state_{number}"][0], new, ctx.index_B)[None]
    for number, new in enumerate(states)
  }

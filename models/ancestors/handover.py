"""Handover: what an encoder has read becomes the state that a decoder starts from.

You are in: models/ancestors. Sutskever et al. 2014, arXiv:1409.3215, section 2: the last
state of each layer is all that a decoder knows of its source. Documents packed into a
row are handed over one by one.

Shapes: B batch, T targets, S sources, W the widths of all states, side by side.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx

from models.ancestors.cells import State
from models.ancestors.recurrent import RecurrentStack, RecurrentStackLayer, firsts
from models.components.context import Context
from models.components.spec import spec


@spec
class StateEncoder(RecurrentStack):
  """A recurrent stack that puts out its states where a document has been read to its
  end, and zeros elsewhere. `reverse`: sources are read backwards (section 3.3)."""

  def build(self, dim: int) -> StateEncoderLayer:
    return StateEncoderLayer(self, dim)


class StateEncoderLayer(RecurrentStackLayer):
  """x_BSD -> (states_BSW, None, aux)."""

  def __call__(
    self, x_BTD: jax.Array, ctx: Context, cache: dict | None = None
  ) -> tuple[jax.Array, dict | None, dict]:
    states, cache = self.states(x_BTD, ctx, cache)
    both = jnp.concatenate([array for state in states for array in state], axis=-1)
    # The last token in one direction is the first in the other.
    last_BS = firsts(ctx, reverse=not self.spec.reverse)
    return both * last_BS[..., None], cache, {}


@spec
class LastState:
  """`RecurrentStack.start`: the states that a `StateEncoder` of equal cells ended with."""

  def build(self, cells: tuple) -> LastStateLayer:
    return LastStateLayer(cells)


class LastStateLayer(nnx.Module):
  """(ctx, number of the cell) -> [B, T, H] for each array of its state."""

  def __init__(self, cells: tuple):
    self.widths = [cell.widths for cell in cells]

  def __call__(self, ctx: Context, number: int) -> State:
    memory = ctx.memory
    total = sum(map(sum, self.widths))
    if memory.output_BSD.shape[-1] != total:
      raise ValueError(
        f"The encoder hands over {memory.output_BSD.shape[-1]} features, the decoder's "
        f"states have {total}. Give both the same cells."
      )
    start = sum(map(sum, self.widths[:number]))
    arrays = []
    for width in self.widths[number]:
      arrays.append(of_document(memory.output_BSD[..., start : start + width], ctx))
      start += width
    return tuple(arrays)


def of_document(sparse_BSW: jax.Array, ctx: Context) -> jax.Array:
  """[B, T, W]: the sum over the source of each target's own document."""
  own = ctx.segments_BT[:, :, None] == ctx.memory.segments_BS[:, None, :]
  return jnp.einsum("bts,bsw->btw", own.astype(sparse_BSW.dtype), sparse_BSW)

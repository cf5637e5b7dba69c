"""Additive attention inside a recurrence, and the encoder it looks at.

You are in: models/ancestors. Bahdanau et al. 2014, arXiv:1409.0473, appendix A: before
every step the decoder's last state asks the encoder's annotations.

Shapes: B batch, T targets, S sources, D embed, H hidden, A alignment, W annotation.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx

from models.ancestors.cells import State
from models.ancestors.handover import of_document
from models.ancestors.recurrent import (
  RecurrentStack,
  RecurrentStackLayer,
  before,
  begins,
  firsts,
  remember,
  room,
  unroll,
)
from models.components.context import Context
from models.components.dense import Dense
from models.components.param import FanIn, declare
from models.components.spec import replace, spec

MASKED = -1e30  # a score that no softmax sees


@spec
class BidirectionalStack:
  """Annotations h_j = [forward; backward] of one cell in each direction (A.2.1)."""

  cell: object

  @property
  def blocks(self) -> tuple:
    """No blocks with attention, which is what asks for them."""
    return ()

  def build(self, dim: int) -> BidirectionalStackLayer:
    return BidirectionalStackLayer(self, dim)


class BidirectionalStackLayer(nnx.Module):
  """x_BSD -> ([B, S, 2 H], None, aux). `forward` and `backward`, each a recurrent stack."""

  def __init__(self, spec: BidirectionalStack, dim: int):
    # Their outputs go to no head, so their width is their own.
    one = RecurrentStack(cells=(spec.cell,))
    self.forward = RecurrentStackLayer(one, dim)
    self.backward = RecurrentStackLayer(replace(one, reverse=True), dim)

  def __call__(
    self, x_BTD: jax.Array, ctx: Context, cache: dict | None = None
  ) -> tuple[jax.Array, dict | None, dict]:
    assert cache is None, "an encoder reads a whole sequence"
    both = [side.states(x_BTD, ctx)[0][0][0] for side in (self.forward, self.backward)]
    return jnp.concatenate(both, axis=-1), None, {}


@spec
class AttentiveStack:
  """One cell that reads a word and what attention finds, and a maxout layer (A.2.2).

  cell: `GRU` or `LSTM`. alignment: width of the hidden layer that compares states and
  annotations. annotation: width of the encoder's output, backward part last. The maxout
  layer is as wide as the model; the paper's has 500 units beside vectors of 620.
  """

  cell: object
  alignment: int
  annotation: int

  @property
  def blocks(self) -> tuple:
    """No blocks with attention over keys of heads, which is what asks for them."""
    return ()

  def build(self, dim: int) -> AttentiveStackLayer:
    return AttentiveStackLayer(self, dim)


class AttentiveStackLayer(nnx.Module):
  """x_BTD -> (x_BTD, cache, aux).

  e_ij = v . tanh(W s_(i-1) + U h_j), c_i = sum_j softmax_j(e_ij) h_j. Kernels: `ask` W,
  `answer` U, `score` v; `context` takes c_i to the cell's gates; `start` makes the first
  state of the backward annotation of a source's first word; `from_state`, `from_word`
  and `from_context` make the maxout layer's pairs.
  """

  def __init__(self, spec: AttentiveStack, dim: int):
    self.spec = spec
    hidden, annotation = spec.cell.widths[0], {"embed": spec.annotation}
    state, alignment = {"embed": hidden}, {"mlp": spec.alignment}
    pairs = {"mlp": 2 * dim}
    self.cell = spec.cell.build(dim)
    self.ask, self.answer = Dense(state, alignment), Dense(annotation, alignment)
    self.score = declare((spec.alignment,), ("mlp",), FanIn())
    gates = self.cell.recurrent.kernel.get_value().shape[-1]
    self.context = Dense(annotation, {"mlp": gates})
    backward = {"embed": spec.annotation // 2}
    self.start = Dense(backward, {"mlp": hidden}, bias=True)
    self.from_state, self.from_word = Dense(state, pairs), Dense({"embed": dim}, pairs)
    self.from_context = Dense(annotation, pairs, bias=True)

  def __call__(
    self, x_BTD: jax.Array, ctx: Context, cache: dict | None = None
  ) -> tuple[jax.Array, dict | None, dict]:
    h_BSW = ctx.memory.output_BSD
    keys_BSA = self.answer(h_BSW) if cache is None else cache["cell"]["cross"]["key"][0]
    visible_BTS = ctx.segments_BT[:, :, None] == ctx.memory.segments_BS[:, None, :]

    def step(state: State, now: tuple) -> tuple[State, tuple]:
      gates_BP, visible_BS = now
      context_BW = self._look(state[0], keys_BSA, h_BSW, visible_BS)
      new = self.cell.step(state, gates_BP + self.context(context_BW))
      return new, (state[0], context_BW)

    states, (asked_BTH, context_BTW) = unroll(
      step,
      (self.cell.project(x_BTD), visible_BTS),
      before=before(self.spec.cell, x_BTD, ctx, cache and cache["cell"]),
      first_BT=firsts(ctx),
      start=self._start(ctx),
    )
    if cache is not None:
      own = remember(cache["cell"], states, ctx)
      cache = {"cell": cache["cell"] | {"self": own}}
    pairs = self.from_state(asked_BTH) + self.from_word(x_BTD)
    one, two = jnp.split(pairs + self.from_context(context_BTW), 2, axis=-1)
    return ctx.drop(jnp.maximum(one, two), "final"), cache, {}

  def _look(self, state_BH, keys_BSA, h_BSW, visible_BS) -> jax.Array:
    """c_i [B, W]; softmax in float32."""
    hidden = jnp.tanh(self.ask(state_BH)[:, None] + keys_BSA)
    scores_BS = hidden.astype(jnp.float32) @ self.score[...]
    weights_BS = jax.nn.softmax(jnp.where(visible_BS, scores_BS, MASKED), axis=-1)
    return jnp.einsum("bs,bsw->bw", weights_BS.astype(h_BSW.dtype), h_BSW)

  def _start(self, ctx: Context) -> State:
    """s_0 = tanh(W_s h_1), h_1 the backward annotation of a source's first word."""
    backward = ctx.memory.output_BSD[..., self.spec.annotation // 2 :]
    first_BS1 = begins(ctx.memory.segments_BS)[..., None]
    state = jnp.tanh(self.start(of_document(backward * first_BS1, ctx)))
    others = len(self.spec.cell.widths) - 1
    return (state, *others * (jnp.zeros_like(state),))

  def empty_cache(self, batch: int, length: int, dtype: object) -> dict:
    """Room for the states after `length` tokens."""
    return {"cell": {"self": room(self.spec.cell, batch, length, dtype)}}

  def cross_cache(self, memory_BSD: jax.Array) -> dict:
    """What the encoder's annotations answer, once per generated sequence."""
    return {"cell": {"cross": {"key": self.answer(memory_BSD)[None]}}}

"""Cells: one step of a recurrence, and what of it can be computed before the loop.

You are in: models/ancestors. A cell is a spec beside its layer: `project` is the part
that reads inputs alone, a product for all positions at once; `step` is the loop's body.
The first array of a state is what the cell puts out.

Shapes: B batch, T tokens, D inputs, H hidden, W output, P gates times H.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx

from models.components.dense import Dense
from models.components.spec import spec

State = tuple[jax.Array, ...]  # arrays [B, H], or [B, W]


@spec
class LSTM:
  """Long short-term memory with a forget gate (Zaremba et al. 2014, arXiv:1409.2329,
  section 3.1; Hochreiter and Schmidhuber 1997, Gers et al. 2000)."""

  hidden: int
  bias: bool = True

  @property
  def widths(self) -> tuple[int, ...]:
    """Of the arrays of a state: output and memory."""
    return self.hidden, self.hidden

  def build(self, dim: int) -> LSTMLayer:
    return LSTMLayer(self, dim)


class LSTMLayer(nnx.Module):
  """Kernels input [D, 4 H] and recurrent [H, 4 H], of the gates i, f, g, o in turn."""

  def __init__(self, spec: LSTM, dim: int):
    gates = {"mlp": 4 * spec.hidden}
    self.input = Dense({"embed": dim}, gates, bias=spec.bias)
    self.recurrent = Dense({"embed": spec.hidden}, gates)

  def project(self, x_BTD: jax.Array) -> jax.Array:
    """[B, T, P]."""
    return self.input(x_BTD)

  def step(self, state: State, inputs_BP: jax.Array) -> State:
    """The next state."""
    h, c = state
    i, f, g, o = jnp.split(inputs_BP + self.recurrent(h), 4, axis=-1)
    c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
    return jax.nn.sigmoid(o) * jnp.tanh(c), c


@spec
class ProjectedLSTM:
  """An LSTM whose output is narrower than its memory (Sak et al. 2014, arXiv:1402.1128,
  section 2), as ELMo has it: memory and output stay within `clip`, None for no bound."""

  hidden: int
  width: int
  clip: float | None = None

  @property
  def widths(self) -> tuple[int, ...]:
    """Of the arrays of a state: output and memory."""
    return self.width, self.hidden

  def build(self, dim: int) -> ProjectedLSTMLayer:
    return ProjectedLSTMLayer(self, dim)


class ProjectedLSTMLayer(nnx.Module):
  """Kernels input [D, 4 H], recurrent [W, 4 H], of the gates i, f, g, o, and out [H, W]."""

  def __init__(self, spec: ProjectedLSTM, dim: int):
    gates = {"mlp": 4 * spec.hidden}
    self.clip = spec.clip
    self.input = Dense({"embed": dim}, gates, bias=True)
    self.recurrent = Dense({"embed": spec.width}, gates)
    self.out = Dense({"mlp": spec.hidden}, {"embed": spec.width})

  def project(self, x_BTD: jax.Array) -> jax.Array:
    """[B, T, P]."""
    return self.input(x_BTD)

  def step(self, state: State, inputs_BP: jax.Array) -> State:
    """The next state."""
    h, c = state
    i, f, g, o = jnp.split(inputs_BP + self.recurrent(h), 4, axis=-1)
    c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
    c = self._bounded(c)
    return self._bounded(self.out(jax.nn.sigmoid(o) * jnp.tanh(c))), c

  def _bounded(self, x: jax.Array) -> jax.Array:
    return x if self.clip is None else jnp.clip(x, -self.clip, self.clip)


@spec
class GRU:
  """Gated recurrent unit (Cho et al. 2014, arXiv:1406.1078, section 2.3), its reset gate
  after the product, as cuDNN and PyTorch compute it; the paper has it before."""

  hidden: int

  @property
  def widths(self) -> tuple[int, ...]:
    """Of the arrays of a state: the output."""
    return (self.hidden,)

  def build(self, dim: int) -> GRULayer:
    return GRULayer(self, dim)


class GRULayer(nnx.Module):
  """Kernels input [D, 3 H] and recurrent [H, 3 H], of the gates r, z, n in turn."""

  def __init__(self, spec: GRU, dim: int):
    gates = {"mlp": 3 * spec.hidden}
    self.input = Dense({"embed": dim}, gates, bias=True)
    self.recurrent = Dense({"embed": spec.hidden}, gates, bias=True)

  def project(self, x_BTD: jax.Array) -> jax.Array:
    """[B, T, P]."""
    return self.input(x_BTD)

  def step(self, state: State, inputs_BP: jax.Array) -> State:
    """The next state."""
    (h,) = state
    reset, update, new = jnp.split(inputs_BP, 3, axis=-1)
    from_reset, from_update, from_new = jnp.split(self.recurrent(h), 3, axis=-1)
    keep = jax.nn.sigmoid(update + from_update)
    new = jnp.tanh(new + jax.nn.sigmoid(reset + from_reset) * from_new)
    return ((1 - keep) * new + keep * h,)

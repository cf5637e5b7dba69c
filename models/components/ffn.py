"""Feed-forward components: what each position computes alone, after attention mixed.

You are in: models/components. Add a variant as one spec beside one layer.
Shapes: x_BTD -> y_BTD; B batch, T tokens, D embed, F mlp.
"""

from __future__ import annotations

import functools

import jax
from flax import nnx

from models.components.context import Context
from models.components.dense import Dense
from models.components.recompute import recomputed
from models.components.spec import spec

ACTIVATIONS = {
  "identity": lambda x: x,  # gated: the bilinear unit of arXiv:2002.05202
  "relu": jax.nn.relu,
  # So et al. 2021, Primer, arXiv:2109.08668, section 3; Nemotron-4.
  "relu_squared": lambda x: jax.numpy.square(jax.nn.relu(x)),
  "leaky_relu": jax.nn.leaky_relu,
  "elu": jax.nn.elu,
  "tanh": jax.numpy.tanh,
  "sigmoid": jax.nn.sigmoid,  # gated: the unit of Dauphin et al. 2016, arXiv:1612.08083
  "softplus": jax.nn.softplus,
  "mish": jax.nn.mish,
  "silu": jax.nn.silu,
  "gelu": functools.partial(jax.nn.gelu, approximate=False),
  # The tanh approximation is what T5 v1.1, mT5 and GPT-2 were trained with.
  "gelu_tanh": functools.partial(jax.nn.gelu, approximate=True),
  # x * sigmoid(1.702 x), the "fast GELU" of PanGu-alpha (arXiv:1606.08415, section 2).
  "gelu_sigmoid": lambda x: x * jax.nn.sigmoid(1.702 * x),
}


def with_aux(result: jax.Array | tuple) -> tuple[jax.Array, dict]:
  """(y, extra losses) of a feed-forward layer; most return y alone."""
  return result if isinstance(result, tuple) else (result, {})


def activation(name: str, owner: str) -> object:
  """The function called `name`, or a ValueError that lists the known ones."""
  if name not in ACTIVATIONS:
    raise ValueError(
      f"{owner}.act={name!r} is unknown; known: {', '.join(sorted(ACTIVATIONS))}. "
      "Add new activations to ACTIVATIONS in models/components/ffn.py."
    )
  return ACTIVATIONS[name]


@spec
class FFN:
  """act(x W_up) W_down (Vaswani et al. 2017, arXiv:1706.03762, eq. 2)."""

  hidden: int
  act: str = "relu"
  bias: bool = False

  def __post_init__(self):
    activation(self.act, "FFN")

  def build(self, dim: int) -> FFNLayer:
    return FFNLayer(self, dim)


class FFNLayer(nnx.Module):
  """Kernels: up (embed, mlp); down (mlp, embed)."""

  def __init__(self, spec: FFN, dim: int):
    embed, mlp = {"embed": dim}, {"mlp": spec.hidden}
    self.act = activation(spec.act, "FFN")
    self.up = Dense(embed, mlp, bias=spec.bias, name="up")
    self.down = Dense(mlp, embed, bias=spec.bias, name="ffn_out")

  def __call__(self, x_BTD: jax.Array, ctx: Context) -> jax.Array:
    @recomputed
    def rest(up_BTF):
      return self.down(ctx.drop(self.act(up_BTF), "ffn_hidden"))

    return rest(self.up(x_BTD))


@spec
class GatedFFN:
  """(act(x W_gate) * x W_up) W_down (Shazeer 2020, arXiv:2002.05202, section 2)."""

  hidden: int
  act: str = "silu"
  bias: bool = False

  def __post_init__(self):
    activation(self.act, "GatedFFN")

  def build(self, dim: int) -> GatedFFNLayer:
    return GatedFFNLayer(self, dim)


class GatedFFNLayer(nnx.Module):
  """Kernels: gate, up (embed, mlp); down (mlp, embed)."""

  def __init__(self, spec: GatedFFN, dim: int):
    embed, mlp = {"embed": dim}, {"mlp": spec.hidden}
    self.act = activation(spec.act, "GatedFFN")
    self.gate = Dense(embed, mlp, bias=spec.bias, name="gate")
    self.up = Dense(embed, mlp, bias=spec.bias, name="up")
    self.down = Dense(mlp, embed, bias=spec.bias, name="ffn_out")

  def __call__(self, x_BTD: jax.Array, ctx: Context) -> jax.Array:
    @recomputed
    def rest(gate_BTF, up_BTF):
      return self.down(ctx.drop(self.act(gate_BTF) * up_BTF, "ffn_hidden"))

    return rest(self.gate(x_BTD), self.up(x_BTD))

"""Dense: the one place where an activation meets a weight.

You are in: models/components. Every projection of every architecture goes through here,
so LoRA, quantization, sharding and weight import have exactly one seam.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx

from models.components.param import Constant, FanIn, declare

Axes = dict[str, int]  # logical axis name -> size, in order


class Dense(nnx.Module):
  """Contracts the trailing `inputs` axes of x with a kernel [*inputs, *outputs]."""

  def __init__(self, inputs: Axes, outputs: Axes, *, bias: bool = False, init=None):
    self.inputs = len(inputs)
    shape = (*inputs.values(), *outputs.values())
    axes = (*inputs, *outputs)
    self.kernel = declare(shape, axes, init or FanIn(inputs=self.inputs))
    rest = slice(self.inputs, None)
    zero = Constant(value=0.0)
    self.bias = declare(shape[rest], axes[rest], zero) if bias else None

  def __call__(self, x: jax.Array) -> jax.Array:
    y = jnp.tensordot(x, self.kernel[...].astype(x.dtype), self.inputs)
    return y if self.bias is None else y + self.bias[...].astype(x.dtype)

"""Dense: the one place where an activation meets a weight.

You are in: models/components. Every projection of every architecture goes through here,
so LoRA, quantization, sharding and weight import have exactly one seam.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from flax import nnx

from models.components.param import Constant, FanIn, declare
from models.components.recompute import named, recomputed

Axes = dict[str, int]  # logical axis name -> size, in order


class Dense(nnx.Module):
  """Contracts the trailing `inputs` axes of x with a kernel [*inputs, *outputs].

  name: what `Execution.remat` calls the result, one of execution.NAMES; without one it
  is always recomputed there. flat: whether all tokens of all rows are one axis of the
  product; see `keep_rows`.
  """

  def __init__(
    self,
    inputs: Axes,
    outputs: Axes,
    *,
    bias: bool = False,
    init: object = None,
    name: str | None = None,
  ):
    self.inputs = len(inputs)
    self.name = name
    self.flat = True
    shape = (*inputs.values(), *outputs.values())
    axes = (*inputs, *outputs)
    self.kernel = declare(shape, axes, init or FanIn(inputs=self.inputs))
    rest = slice(self.inputs, None)
    zero = Constant(value=0.0)
    self.bias = declare(shape[rest], axes[rest], zero) if bias else None

  def __call__(self, x: jax.Array) -> jax.Array:
    kernel = self.kernel[...].astype(x.dtype)
    outputs = kernel.shape[self.inputs :]
    fan_in = math.prod(kernel.shape[: self.inputs])

    # Two dimensions on both sides: for the gradient's product over all tokens, XLA then
    # folds the transpose into the product instead of copying the activation first.
    @recomputed  # keeps x as it came: layers that read it share it
    def product(x, kernel):
      if not self.flat:
        return jnp.tensordot(x, kernel, self.inputs)
      y = x.reshape(-1, fan_in) @ kernel.reshape(fan_in, -1)
      return y.reshape(*x.shape[: x.ndim - self.inputs], *outputs)

    y = product(x, kernel)
    if self.bias is not None:
      y = y + self.bias[...].astype(x.dtype)
    return y if self.name is None else named(y, self.name)


def keep_rows(module: nnx.Module) -> None:
  """Has every `Dense` of a module leave rows and tokens two axes of its products.

  Where the tokens of a row lie on several devices, no device holds a piece of one axis
  of both: XLA would gather whole rows before every product.
  """
  for _, node in nnx.iter_graph(module):
    if isinstance(node, Dense):
      node.flat = False

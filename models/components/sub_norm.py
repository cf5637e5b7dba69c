"""Sub-LN: a second norm inside each part, before the kernel that writes the residual.

You are in: models/components. A residual layout like those of residual.py that also
changes what its parts compute. `SubNorm` turns a `Block` into one: by one line of gin,
in any family.

Shapes: as `Block`; N heads, H head dim, F mlp.
"""

from __future__ import annotations

import math

import jax
from flax import nnx

from models.components.block import Block, BlockLayer
from models.components.dense import Dense
from models.components.param import relabeled
from models.components.spec import spec


@spec
class SubNormBlock(Block):
  """x + W norm'(f(norm(x))), W the last kernel of attention or of the feed-forward layer
  (Magneto, Wang et al. 2022, arXiv:2210.06423, section 2.1).

  As released, cross-attention has none. The factor on initial kernels that goes with it
  (section 2.2), sqrt(ln(2 N)) for N layers alone, is an `InitRule` of the family.
  """

  def build(self, dim: int) -> SubNormBlockLayer:
    return SubNormBlockLayer(self, dim)


class SubNormBlockLayer(BlockLayer):
  """The parts of `Block`; their last kernels `out` and `down` have a `norm`."""

  def __init__(self, spec: SubNormBlock, dim: int):
    super().__init__(spec, dim)
    self.attention.out = NormedDense(self.attention.out, spec.norm, "heads")
    if not isinstance(getattr(self.ffn, "down", None), Dense):
      raise ValueError(
        f"SubNormBlock.ffn={spec.ffn!r} has no one kernel before the residual that a "
        "norm could stand before. Use FFN or GatedFFN."
      )
    self.ffn.down = NormedDense(self.ffn.down, spec.norm, "mlp")


class NormedDense(Dense):
  """A `Dense` whose input is normed over all its features: `kernel`, `bias`, `norm`."""

  def __init__(self, dense: Dense, norm: object, axis: str):
    self.inputs, self.name, self.flat = dense.inputs, dense.name, dense.flat
    self.kernel, self.bias = dense.kernel, dense.bias
    width = math.prod(dense.kernel.get_value().shape[: dense.inputs])
    self.norm: nnx.Module = relabeled(norm.build(width), {"embed": axis})

  def __call__(self, x: jax.Array) -> jax.Array:
    lead = x.shape[: x.ndim - self.inputs]
    normed = self.norm(x.reshape(*lead, -1))
    return super().__call__(normed.reshape(x.shape))


@spec
class SubNorm:
  """A swap: SWAPS = {'Block': @sub_norm.SubNorm()} keeps a block's parts and norms."""

  def instead_of(self, old: object) -> SubNormBlock:
    """The block with inner norms. ValueError for anything but a plain `Block`."""
    if type(old) is not Block:
      raise ValueError(
        f"SubNorm stands for {type(old).__name__}, but is defined for Block alone: "
        "SWAPS = {'Block': @sub_norm.SubNorm()}."
      )
    return SubNormBlock(
      norm=old.norm, attention=old.attention, cross=old.cross, ffn=old.ffn
    )

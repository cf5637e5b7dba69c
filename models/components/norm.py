"""Normalization: rescale each position's features. Statistics are always float32.

You are in: models/components. Add a variant as one spec beside one layer.
Shapes: [..., D] -> [..., D], any leading axes, dtype of the input.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx

from models.components.param import Constant, declare
from models.components.recompute import recomputed
from models.components.spec import spec


@spec
class RMSNorm:
  """x / rms(x) * scale (Zhang and Sennrich 2019, arXiv:1910.07467, eq. 4)."""

  eps: float = 1e-6

  def build(self, dim: int) -> RMSNormLayer:
    return RMSNormLayer(self, dim)


class RMSNormLayer(nnx.Module):
  """Scale only; no mean is subtracted and there is no bias."""

  def __init__(self, spec: RMSNorm, dim: int):
    self.eps = spec.eps
    self.scale = declare((dim,), ("embed",), Constant(value=1.0))

  def __call__(self, x: jax.Array) -> jax.Array:
    @recomputed
    def norm(x, scale):
      # float32: the mean of squares overflows and loses digits in 16 bits.
      x32 = x.astype(jnp.float32)
      mean_square = jnp.mean(jnp.square(x32), axis=-1, keepdims=True)
      y32 = x32 * jax.lax.rsqrt(mean_square + self.eps) * self.gain(scale)
      return y32.astype(x.dtype)

    return norm(x, self.scale[...])

  def gain(self, scale: jax.Array) -> jax.Array:
    """The factor that the stored parameter stands for."""
    return scale


@spec
class RMSNorm1P(RMSNorm):
  """RMSNorm that stores its factor minus one, so that decay pulls it to one (Gemma,
  arXiv:2403.08295; released code)."""

  def build(self, dim: int) -> RMSNorm1PLayer:
    return RMSNorm1PLayer(self, dim)


class RMSNorm1PLayer(RMSNormLayer):
  """x / rms(x) * (1 + scale), scale from zero."""

  def __init__(self, spec: RMSNorm1P, dim: int):
    super().__init__(spec, dim)
    self.scale = declare((dim,), ("embed",), Constant(value=0.0))

  def gain(self, scale: jax.Array) -> jax.Array:
    return 1.0 + scale


@spec
class LayerNorm:
  """(x - mean) / std * scale [+ bias] (Ba et al. 2016, arXiv:1607.06450)."""

  eps: float = 1e-5
  bias: bool = True

  def build(self, dim: int) -> LayerNormLayer:
    return LayerNormLayer(self, dim)


class LayerNormLayer(nnx.Module):
  """The variance is the biased one (divided by D), as in every published model."""

  def __init__(self, spec: LayerNorm, dim: int):
    self.eps = spec.eps
    self.scale = declare((dim,), ("embed",), Constant(value=1.0))
    self.bias = declare((dim,), ("embed",), Constant(value=0.0)) if spec.bias else None

  def __call__(self, x: jax.Array) -> jax.Array:
    @recomputed
    def norm(x, scale, bias):
      x32 = x.astype(jnp.float32)
      x32 = x32 - jnp.mean(x32, axis=-1, keepdims=True)
      variance = jnp.mean(jnp.square(x32), axis=-1, keepdims=True)
      y32 = x32 * jax.lax.rsqrt(variance + self.eps) * self.gain(scale)
      return (y32 if bias is None else y32 + bias).astype(x.dtype)

    bias = None if self.bias is None else self.bias[...]
    return norm(x, self.scale[...], bias)

  def gain(self, scale: jax.Array) -> jax.Array:
    """The factor that the stored parameter stands for."""
    return scale


@spec
class LayerNorm1P(LayerNorm):
  """LayerNorm that stores its factor minus one (Nemotron-4, arXiv:2402.16819)."""

  def build(self, dim: int) -> LayerNorm1PLayer:
    return LayerNorm1PLayer(self, dim)


class LayerNorm1PLayer(LayerNormLayer):
  """(x - mean) / std * (1 + scale) [+ bias], scale from zero."""

  def __init__(self, spec: LayerNorm1P, dim: int):
    super().__init__(spec, dim)
    self.scale = declare((dim,), ("embed",), Constant(value=0.0))

  def gain(self, scale: jax.Array) -> jax.Array:
    return 1.0 + scale


@spec
class PlainLayerNorm:
  """(x - mean) / std, nothing learned (OLMo, arXiv:2402.00838, section 2.1)."""

  eps: float = 1e-5

  def build(self, dim: int) -> PlainLayerNormLayer:
    return PlainLayerNormLayer(self)


class PlainLayerNormLayer(nnx.Module):
  """LayerNorm without parameters."""

  def __init__(self, spec: PlainLayerNorm):
    self.eps = spec.eps

  def __call__(self, x: jax.Array) -> jax.Array:
    @recomputed
    def norm(x):
      x32 = x.astype(jnp.float32)
      x32 = x32 - jnp.mean(x32, axis=-1, keepdims=True)
      variance = jnp.mean(jnp.square(x32), axis=-1, keepdims=True)
      return (x32 * jax.lax.rsqrt(variance + self.eps)).astype(x.dtype)

    return norm(x)

"""Positions: how a layer knows where a token stands.

You are in: models/components. Three places take a position: the embedding (`Learned`,
`Sinusoidal`), queries and keys (a `Rotary`; another in xpos.py), and attention scores
(`RelativeBias` here, `ALiBi` in bias.py).

Shapes: B batch, T queries, S keys, N heads, H head dim.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from models.components.distance_bias import DistanceBias, distance_bias
from models.components.param import FanAverageUniform, Normal, declare
from models.components.spec import spec
from models.components.yarn import Yarn


@spec
class Learned:
  """A table of absolute positions, added to the token embeddings.

  length: rows of the table. offset: row of the first position; OPT and RoBERTa keep two
  rows before it that nothing reads.
  """

  length: int
  std: float = 0.02
  offset: int = 0

  def build(self, dim: int) -> LearnedLayer:
    return LearnedLayer(self, dim)


class LearnedLayer(nnx.Module):
  """positions_BT -> [B, T, D]."""

  def __init__(self, spec: Learned, dim: int):
    self.length, self.offset = spec.length, spec.offset
    shape, axes = (spec.length, dim), ("abspos_buckets", "embed")
    self.embedding = declare(shape, axes, Normal(std=spec.std))

  def __call__(self, positions_BT: jax.Array) -> jax.Array:
    self.check(positions_BT.shape[1])
    return self.embedding[...][positions_BT + self.offset]

  def check(self, tokens: int) -> None:
    """ValueError for rows longer than the table: XLA would read its last row instead."""
    if tokens > self.length - self.offset:
      raise ValueError(
        f"A row of {tokens} tokens does not fit Learned.length={self.length} with "
        f"offset={self.offset}. "
        "Shorten rows (TASK_FEATURE_LENGTHS, or prompt and generated tokens) or raise "
        "the table's length."
      )


@spec
class Sinusoidal:
  """Sines and cosines in turn, added to the token embeddings; nothing is learned.

  Dimension 2i is sin(position / base^(2i/D)), 2i + 1 its cosine (Vaswani et al. 2017,
  arXiv:1706.03762, section 3.5).
  """

  base: float = 10_000.0

  def build(self, dim: int) -> SinusoidalLayer:
    return SinusoidalLayer(self, dim)


class SinusoidalLayer(nnx.Module):
  """positions_BT -> [B, T, D]."""

  def __init__(self, spec: Sinusoidal, dim: int):
    self.base, self.dim = spec.base, dim

  def __call__(self, positions_BT: jax.Array) -> jax.Array:
    even = np.arange(0, self.dim, 2, dtype=np.float64)
    frequency = (self.base ** -(even / self.dim)).astype(np.float32)
    angle = positions_BT[..., None].astype(jnp.float32) * frequency
    both = jnp.stack([jnp.sin(angle), jnp.cos(angle)], axis=-1)
    return both.reshape(*positions_BT.shape, -1)[..., : self.dim]

  def check(self, tokens: int) -> None:
    """Every length is served."""


@spec
class RelativeBias:
  """T5's bucketed score bias (Raffel et al. 2020, arXiv:1910.10683, section 2.1).

  Distances fall into `buckets`: half exact, half logarithmic up to `max_distance`. A
  bidirectional table keeps apart the past and the future; the other kind sees the past.
  """

  buckets: int = 32
  max_distance: int = 128
  bidirectional: bool

  def build(self, heads: int) -> RelativeBiasLayer:
    return RelativeBiasLayer(self, heads)


class RelativeBiasLayer(nnx.Module):
  """Table [heads, buckets] -> score bias (or [B, N, T, S] decoding)."""

  def __init__(self, spec: RelativeBias, heads: int):
    self.spec = spec
    shape, axes = (heads, spec.buckets), ("heads", "relpos_buckets")
    self.embedding = declare(shape, axes, FanAverageUniform())

  def __call__(self, queries: int, keys: int) -> DistanceBias:
    """Bias of a whole sequence: row index decides, so packed rows need nothing else."""
    width = queries + keys - 1
    distance = jnp.arange(width) - (queries - 1)  # key - query, every one that occurs
    one_hot = jax.nn.one_hot(relative_bucket(distance, self.spec), self.spec.buckets)
    # A product and a skew, not a gather: the gradient is then a product and a sum,
    # where a gather's would be a slow scatter of T x S values into `buckets`.
    by_distance_NW = self.embedding[...] @ one_hot.T
    return distance_bias(by_distance_NW, queries, keys)

  def at(self, query_index_BT: jax.Array, keys: int) -> jax.Array:
    """Bias for queries at the given row indices, used while decoding."""
    distance = jnp.arange(keys) - query_index_BT[..., None]
    bias = self.embedding[...][:, relative_bucket(distance, self.spec)]
    return jnp.moveaxis(bias, 0, 1)


def relative_bucket(distance: jax.Array, spec: RelativeBias) -> jax.Array:
  """Bucket of key index minus query index, int32 of the same shape.

  float32 with an epsilon as in mesh_tensorflow: at distances 16, 32, 64 the exact
  logarithm is an integer and must not fall below it by rounding.
  """
  buckets, offset = spec.buckets, 0
  if spec.bidirectional:
    buckets //= 2
    offset = jnp.where(distance > 0, buckets, 0)
    distance = jnp.abs(distance)
  else:
    distance = jnp.maximum(-distance, 0)
  exact = buckets // 2
  ratio = distance.astype(jnp.float32) / exact
  log = jnp.log(ratio + np.finfo(np.float32).eps)
  far = log / math.log(spec.max_distance / exact) * (buckets - exact)
  far = jnp.minimum(exact + far.astype(jnp.int32), buckets - 1)
  return offset + jnp.where(distance < exact, distance, far)


@spec
class Llama3Scaling:
  """Frequency scaling of LLaMA 3.1 (arXiv:2407.21783, section 3.4.2; released code).

  Wavelengths above original / low are stretched by `factor`, those below original /
  high kept, those between interpolated.
  """

  factor: float
  low: float = 1.0
  high: float = 4.0
  original: int = 8192

  def __call__(self, frequency: np.ndarray) -> np.ndarray:
    turns = self.original * frequency / (2 * math.pi)
    smooth = np.clip((turns - self.low) / (self.high - self.low), 0.0, 1.0)
    return frequency * ((1.0 - smooth) / self.factor + smooth)


@spec
class Rotary:
  """Turns queries and keys by angles that grow with position: the family of `Rope`."""

  def __call__(self, x_BTNH: jax.Array, positions_BT: jax.Array) -> jax.Array:
    """The turned queries, same shape and dtype."""
    raise NotImplementedError

  def keys(self, x_BTNH: jax.Array, positions_BT: jax.Array) -> jax.Array:
    """The turned keys: like queries, unless the variant says otherwise."""
    return self(x_BTNH, positions_BT)


@spec
class Rope(Rotary):
  """Rotary positions (Su et al. 2021, arXiv:2104.09864), halves layout.

  Dimension i of the first half of a head is rotated with dimension i of the second.
  """

  base: float = 10_000.0
  scaling: Llama3Scaling | Yarn | None = None

  def __call__(self, x_BTNH: jax.Array, positions_BT: jax.Array) -> jax.Array:
    half = x_BTNH.shape[-1] // 2
    frequency = self.base ** -(np.arange(half, dtype=np.float64) / half)
    if self.scaling is not None:
      frequency = self.scaling(frequency)
    # float32: an angle of some thousand radians has no digits left in 16 bits.
    angle = positions_BT[..., None].astype(jnp.float32) * frequency.astype(np.float32)
    cos, sin = jnp.cos(angle)[:, :, None], jnp.sin(angle)[:, :, None]
    one, two = self.parts(x_BTNH.astype(jnp.float32))
    rotated = self.joined(one * cos - two * sin, two * cos + one * sin)
    return rotated.astype(x_BTNH.dtype)

  def parts(self, x_BTNH: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The dimensions that are rotated with one another, apart."""
    one, two = jnp.split(x_BTNH, 2, axis=-1)
    return one, two

  def joined(self, one: jax.Array, two: jax.Array) -> jax.Array:
    """The inverse of `parts`."""
    return jnp.concatenate([one, two], axis=-1)


@spec
class PairedRope(Rope):
  """Dimension 2i is rotated with 2i + 1, as in the paper (GPT-J, DeepSeek-V2).

  The same model as with `Rope`, dimensions of queries and keys in another order.
  """

  def parts(self, x_BTNH: jax.Array) -> tuple[jax.Array, jax.Array]:
    return x_BTNH[..., 0::2], x_BTNH[..., 1::2]

  def joined(self, one: jax.Array, two: jax.Array) -> jax.Array:
    return jnp.stack([one, two], axis=-1).reshape(*one.shape[:-1], -1)


@spec
class PartialRope(Rotary):
  """Turns the first `dims` dimensions of each head alone (GPT-J; GPT-NeoX-20B,
  arXiv:2204.06745, section 2.1.1); frequencies are those of a head that wide."""

  dims: int
  rope: Rope = Rope()

  def __call__(self, x_BTNH: jax.Array, positions_BT: jax.Array) -> jax.Array:
    return self._part(self.rope, x_BTNH, positions_BT)

  def keys(self, x_BTNH: jax.Array, positions_BT: jax.Array) -> jax.Array:
    return self._part(self.rope.keys, x_BTNH, positions_BT)

  def _part(
    self, turn: Callable, x_BTNH: jax.Array, positions_BT: jax.Array
  ) -> jax.Array:
    if self.dims > x_BTNH.shape[-1] or self.dims % 2:
      raise ValueError(
        f"PartialRope.dims={self.dims} must be even and at most the head's "
        f"{x_BTNH.shape[-1]} dimensions."
      )
    turned = turn(x_BTNH[..., : self.dims], positions_BT)
    return jnp.concatenate([turned, x_BTNH[..., self.dims :]], axis=-1)

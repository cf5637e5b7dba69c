"""Sampling: from next-token logits to a token. Pure functions of arrays.

You are in: t5x_like/decode. Semantics are T5X's `decoding.temperature_sample`: divide by
the temperature, then keep the top k, or the smallest set of mass p; ties are kept.

Shapes: B batch, V vocab.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp

GREEDY = 1e-4  # temperatures up to this take the most probable token, as in T5X
NEGATIVE = -1e7


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sampling:
  """How to choose the next token.

  temperature 0: the most probable token. topk 0 and topp 0.0: no truncation; the two
  exclude each other.
  """

  temperature: float = 0.0
  topk: int = 0
  topp: float = 0.0

  def __post_init__(self):
    if self.topk and self.topp:
      raise ValueError(
        f"Sampling.topk={self.topk} and topp={self.topp} exclude each other; set one."
      )
    if self.temperature < 0 or self.topk < 0 or not 0 <= self.topp <= 1:
      raise ValueError(
        f"Sampling(temperature={self.temperature}, topk={self.topk}, topp={self.topp}):"
        " temperature and topk must not be negative, topp must lie in [0, 1]."
      )

  def __call__(self, logits_BV: jax.Array, key: jax.Array) -> jax.Array:
    """int32 [B]."""
    if self.temperature <= GREEDY:
      return jnp.argmax(logits_BV, axis=-1).astype(jnp.int32)
    kept = truncate(logits_BV / self.temperature, topk=self.topk, topp=self.topp)
    return jax.random.categorical(key, kept, axis=-1).astype(jnp.int32)


def truncate(logits_BV: jax.Array, *, topk: int, topp: float) -> jax.Array:
  """Logits with everything outside the kept set at NEGATIVE."""
  if topk:
    floor = jax.lax.top_k(logits_BV, min(topk, logits_BV.shape[-1]))[0][:, -1:]
  elif topp:
    # Nucleus (Holtzman et al. 2019, arXiv:1904.09751): the smallest set with mass >= p.
    ordered = -jnp.sort(-logits_BV, axis=-1)
    mass = jnp.cumsum(jax.nn.softmax(ordered, axis=-1), axis=-1)
    last = jnp.sum(mass < topp, axis=-1, keepdims=True)
    last = jnp.minimum(last, logits_BV.shape[-1] - 1)
    floor = jnp.take_along_axis(ordered, last, axis=-1)
  else:
    return logits_BV
  return jnp.where(logits_BV >= floor, logits_BV, NEGATIVE)

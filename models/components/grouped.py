"""Grouped products: rows sorted by expert times a kernel an expert, on each backend.

You are in: models/components. `jax.lax.ragged_dot` says it, but where XLA has no kernel
for it (CPUs) it multiplies every row by every expert. There, rows are padded to blocks
that belong to one expert each, and a loop multiplies each block once.

Shapes: M rows, E experts, I blocks of R rows, D inputs, F outputs.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

BLOCK = 64  # rows: few enough to waste little, many enough to fill a product


def grouped_product(
  x_MD: jax.Array, kernel_EDF: jax.Array, sizes_E: jax.Array, *, batched: bool = False
) -> jax.Array:
  """The first sizes_E[0] rows times kernel 0, the next times kernel 1, ...: [M, F].

  batched: whether it is called inside of `jax.vmap`, which JAX 0.10 cannot do twice with
  `ragged_dot`: blocks it is, on any backend.
  """
  few = x_MD.shape[0] <= BLOCK  # a block for each expert would be as much work
  if not batched and (few or jax.default_backend() != "cpu"):
    return jax.lax.ragged_dot(x_MD, kernel_EDF, sizes_E)
  rows, experts = x_MD.shape[0], sizes_E.shape[0]
  expert_M = expert_of_rows(sizes_E, rows)
  padded_E = -(-sizes_E // BLOCK) * BLOCK
  first_E, ends_E = jnp.cumsum(sizes_E) - sizes_E, jnp.cumsum(padded_E)
  place_M = (ends_E - padded_E)[expert_M] + jnp.arange(rows) - first_E[expert_M]
  blocks = -(-rows // BLOCK) + experts - 1  # at most one that is not full an expert
  x_ID = jnp.zeros((blocks * BLOCK, x_MD.shape[1]), x_MD.dtype)
  x_IRD = x_ID.at[place_M].set(x_MD, unique_indices=True).reshape(blocks, BLOCK, -1)
  starts_I = jnp.arange(blocks) * BLOCK
  expert_I = jnp.searchsorted(ends_E, starts_I, side="right").clip(max=experts - 1)
  y_IRF = _block_products(x_IRD, kernel_EDF, expert_I)
  return y_IRF.reshape(blocks * BLOCK, -1)[place_M]


def expert_of_rows(sizes_E: jax.Array, rows: int) -> jax.Array:
  """Number of the expert of each of `rows` sorted rows."""
  return jnp.searchsorted(jnp.cumsum(sizes_E), jnp.arange(rows), side="right")


@jax.custom_vjp
def _block_products(x_IRD, kernel_EDF, expert_I):
  def product(_, block):
    x_RD, expert = block
    return None, x_RD @ kernel_EDF[expert]

  return jax.lax.scan(product, None, (x_IRD, expert_I))[1]


def _forward(x_IRD, kernel_EDF, expert_I):
  return _block_products(x_IRD, kernel_EDF, expert_I), (x_IRD, kernel_EDF, expert_I)


def _backward(saved, d_IRF):
  # Written out: JAX would add an array as large as all kernels for every block.
  x_IRD, kernel_EDF, expert_I = saved

  def product(d_kernel_EDF, block):
    x_RD, d_RF, expert = block
    d_kernel = jnp.matmul(x_RD.T, d_RF, preferred_element_type=jnp.float32)
    return d_kernel_EDF.at[expert].add(d_kernel), d_RF @ kernel_EDF[expert].T

  # float32: sums of many blocks lose digits in 16 bits.
  zero = jnp.zeros(kernel_EDF.shape, jnp.float32)
  d_kernel_EDF, d_x_IRD = jax.lax.scan(product, zero, (x_IRD, d_IRF, expert_I))
  return d_x_IRD, d_kernel_EDF.astype(kernel_EDF.dtype), None


_block_products.defvjp(_forward, _backward)

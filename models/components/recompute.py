"""Recompute: what the backward pass computes again instead of keeping it.

You are in: models/components. JAX keeps every intermediate value that a gradient needs:
for a norm or a gated activation several arrays as large as the input, in a scanned stack
for every layer. `recomputed` is for functions where that never pays; what whole blocks
keep is `Execution.remat`, by the names that layers give to their values.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
from jax.ad_checkpoint import checkpoint_name

from models.components.execution import NAMES, Execution

# Whatever took a product with a weight, or attention: what is left is elementwise.
MINIMAL = tuple(name for name in NAMES if name != "residual")


def recomputed(function: Callable) -> Callable:
  """`function`, of whose values only the inputs are kept for the backward pass.

  For elementwise work, norms, and for a product that comes last (its gradient needs what
  goes in, so the product itself is not repeated).
  """
  # Where XLA can see both computations it may merge them again. That is its choice: in a
  # scanned stack, where memory matters, it cannot.
  return jax.checkpoint(function, prevent_cse=False)


def named(x: jax.Array, name: str) -> jax.Array:
  """x, called `name` (one of execution.NAMES) where `Execution.remat` decides."""
  assert name in NAMES, name
  return checkpoint_name(x, name)


def rematerialized(body: Callable, execution: Execution, *, scanned: bool) -> Callable:
  """body(x, layer), of which the backward pass keeps what `Execution.remat` says (Chen
  et al. 2016, arXiv:1604.06174)."""
  if execution.remat == "none":
    return body

  def named_body(x, layer):
    return body(named(x, "residual"), layer)

  # What is recomputed must not be merged with what was computed: a scan sees to that by
  # itself, elsewhere it costs a barrier.
  return jax.checkpoint(
    named_body, policy=_policy(execution.remat), prevent_cse=not scanned
  )


def _policy(remat: str | tuple[str, ...]) -> Callable:
  policies = jax.checkpoint_policies
  if remat == "full":
    return policies.nothing_saveable
  if remat == "dots":
    return policies.dots_with_no_batch_dims_saveable
  names = MINIMAL if remat == "minimal" else remat
  return policies.save_only_these_names(*names)

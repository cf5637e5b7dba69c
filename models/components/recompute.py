"""Recompute: what the backward pass computes again instead of keeping it.

You are in: models/components. JAX keeps every intermediate value that a gradient needs:
for a norm or a gated activation several arrays as large as the input, in a scanned stack
for every layer. `recomputed` is for functions where that never pays; what whole blocks
keep is `Execution.remat`, by the names that layers give to their values.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable

import jax
from jax.ad_checkpoint import checkpoint_name

from models.components.execution import NAMES, OPTIMIZER, Execution

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
  return jax.checkpoint(named_body, policy=_policy(execution), prevent_cse=not scanned)


def staged(execution: Execution, repeats: int) -> Callable:
  """What a stage of a pipeline keeps of a microbatch until its backward pass: of "full"
  what enters the stage (arXiv:1811.06965, section 2.3), inside of it layer by layer; else
  what the layers keep. With `repeats` that must be said once more around the stage: the
  layers are chosen there, and every tick would keep a copy of their weights."""
  if execution.remat != "full" and repeats == 1:
    return lambda body: body
  return functools.partial(jax.checkpoint, policy=_policy(execution), prevent_cse=False)


def _policy(execution: Execution) -> Callable:
  policies = jax.checkpoint_policies
  if execution.remat == "dots":
    return policies.dots_with_no_batch_dims_saveable
  moved = [name for name in execution.offload if name != OPTIMIZER]
  if not moved:
    return policies.save_only_these_names(*_kept(execution))
  return policies.save_and_offload_only_these_names(
    names_which_can_be_saved=_kept(execution),
    names_which_can_be_offloaded=moved,
    offload_src="device",
    offload_dst=host_memory(),
  )


def _kept(execution: Execution) -> tuple[str, ...]:
  """Names that stay on the device, of a policy by names."""
  kept = {"full": (), "minimal": MINIMAL}.get(execution.remat, execution.remat)
  return tuple(name for name in kept if name not in execution.offload)


def without_offload(execution: Execution) -> Execution:
  """The execution that keeps only what `execution` keeps on the device."""
  remat = execution.remat
  if set(execution.offload) - {OPTIMIZER}:
    remat = _kept(execution)
  return dataclasses.replace(execution, remat=remat, offload=())


def host_memory() -> str:
  """The kind of memory that `Execution.offload` means.

  Raises ValueError where the backend has none.
  """
  device = jax.devices()[0]
  kinds = [memory.kind for memory in device.addressable_memories()]
  if "pinned_host" not in kinds:
    raise ValueError(
      f"Execution.offload needs memory of kind 'pinned_host', and {device.device_kind} "
      f"({device.platform}) has {', '.join(kinds)}. Set Execution.offload = ()."
    )
  return "pinned_host"

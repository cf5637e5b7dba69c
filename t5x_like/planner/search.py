"""Search: meshes and rematerialization that could hold a run, the likeliest first.

You are in: t5x_like/planner. Without compiling: what the state takes is exact, what the
backward pass keeps is estimated (inspect.py). verb.py compiles the first few.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from partitioning.mesh import Mesh
from t5x_like import inspect
from t5x_like.engine import Engine
from t5x_like.planner.chips import Chip
from t5x_like.run import Run

# What recomputes less comes first.
ORDER = ("none", "minimal", "dots", "full")
TENSOR = (1, 2, 4, 8, 16, 32)  # devices that share a product


def candidates(run: Run, chip: Chip, *, devices: int) -> Iterator[Run]:
  """Runs that should fit `devices` chips: little recomputation first, then few devices
  a product, then many copies, each as few devices as hold it."""
  for remat in ORDER:
    execution = dataclasses.replace(run.execution, remat=remat)
    for tensor in TENSOR:
      for fsdp in _halves(devices // tensor):
        mesh = Mesh(data=devices // tensor // fsdp, fsdp=fsdp, tensor=tensor)
        one = dataclasses.replace(
          run, mesh=mesh, rules=_rules(fsdp, tensor), execution=execution
        )
        if devices % tensor == 0 and _fits(one, chip):
          yield one
          break  # more storage sharing of the same products only costs network


def _rules(fsdp: int, tensor: int) -> str:
  if tensor > 1:
    return "fsdp_tensor" if fsdp > 1 else "tensor"
  return "fsdp" if fsdp > 1 else "data"


def _halves(devices: int) -> list[int]:
  """1, 2, 4, ... that divide `devices`, and itself."""
  found, size = [], 1
  while size <= devices:
    if devices % size == 0:
      found.append(size)
    size *= 2
  return found


def _fits(run: Run, chip: Chip) -> bool:
  """Whether exact state and estimated activations stay below the chip's memory."""
  try:
    engine = Engine(dataclasses.replace(run, compilation_cache=False))
  except ValueError:  # the mesh does not divide heads, hidden units or rows
    return False
  state = engine.abstract_state()
  placed = inspect.bytes_of(state.params), inspect.bytes_of(state.opt_state)
  if 2 * placed[0] + placed[1] > chip.memory:
    return False
  return inspect.memory(engine, inspect.batch_shapes(run))["total"] <= chip.memory

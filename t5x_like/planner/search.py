"""Search: meshes, schedules and rematerialization for a run, the likeliest first.

You are in: t5x_like/planner. What each would take is guessed without compiling (guess.py);
verb.py compiles the first few.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from models.components.execution import PIPELINE, REMAT
from partitioning.mesh import Mesh
from t5x_like.engine import Engine
from t5x_like.planner.chips import Chip
from t5x_like.planner.guess import Facts, facts, guess
from t5x_like.run import Run

TENSOR = 32  # devices that share a product, at most
STAGES = 32
# Microbatches a stage: more of them wait less, and each is a smaller product.
MICROBATCHES = 8


def candidates(
  run: Run, chip: Chip, *, devices: int, efficiency: float
) -> Iterator[Run]:
  """Runs that may fit `devices` chips, by guessed seconds. Others come after them, by
  guessed bytes, so that there is an answer where nothing fits."""
  known = facts(run)
  found = []
  for one in _shapes(run, known, devices):
    found.append((guess(one, known, chip, efficiency=efficiency), one))
  fitting = [pair for pair in found if pair[0].memory <= chip.memory]
  others = [pair for pair in found if pair[0].memory > chip.memory]
  fitting.sort(key=lambda pair: pair[0].cost.seconds)
  others.sort(key=lambda pair: pair[0].memory)
  for _, one in fitting + others:
    if _builds(one):
      yield one


def _shapes(run: Run, known: Facts, devices: int) -> Iterator[Run]:
  for tensor in _powers(min(devices, TENSOR)):
    for pipeline in _powers(min(devices // tensor, STAGES)):
      if devices % (tensor * pipeline) or not _cuts(run, known, pipeline):
        continue
      for fsdp in _powers(devices // tensor // pipeline):
        data, rest = divmod(devices, tensor * pipeline * fsdp)
        mesh = Mesh(data=data, pipeline=pipeline, fsdp=fsdp, tensor=tensor)
        if not rest:
          yield from _with(run, known, mesh)


def _powers(limit: int) -> list[int]:
  """1, 2, 4, ... up to `limit`."""
  return [2**i for i in range(limit.bit_length())]


def _cuts(run: Run, known: Facts, stages: int) -> bool:
  """Whether every run of equal layers divides, and losses can be computed by stages."""
  if stages == 1:
    return True
  if getattr(run.model, "of_rows", ()):
    return False
  return all(count % stages == 0 for count in known.equal)


def _with(run: Run, known: Facts, mesh: Mesh) -> Iterator[Run]:
  """The run on this mesh, with each rematerialization."""
  spread = mesh.data * mesh.fsdp * mesh.pipeline
  if run.batch % (run.microbatches * spread):
    return
  execution = dataclasses.replace(run.execution, **PIPELINE)
  if mesh.pipeline > 1:
    rows = run.batch // run.microbatches // (mesh.data * mesh.fsdp)
    limit = MICROBATCHES * mesh.pipeline
    parts = max(n for n in range(1, min(rows, limit) + 1) if rows % n == 0)
    execution = dataclasses.replace(
      execution, pipeline_schedule="1f1b", pipeline_microbatches=parts
    )
  for remat in REMAT:
    yield dataclasses.replace(
      run,
      mesh=mesh,
      rules=_rules(mesh, known.lengths),
      execution=dataclasses.replace(execution, remat=remat),
    )


def _rules(mesh: Mesh, lengths: tuple[int, ...]) -> str:
  if mesh.pipeline > 1:
    return "pipeline_fsdp_tensor"
  if mesh.tensor > 1:
    whole = all(length % mesh.tensor == 0 for length in lengths)
    return "fsdp_tensor_sequence" if whole else "fsdp_tensor"
  return "fsdp" if mesh.fsdp > 1 else "zero2"


def _builds(run: Run) -> bool:
  """Whether the mesh divides heads, hidden units and rows."""
  try:
    Engine(dataclasses.replace(run, compilation_cache=False))
  except ValueError:
    return False
  return True

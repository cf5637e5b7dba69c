"""Elsewhere: a run on other devices than those that it was trained on.

You are in: t5x_like. Used by `eval` and `infer`, which take a finished run to any machine.
"""

from __future__ import annotations

import dataclasses

import jax

from models.components.execution import PIPELINE
from partitioning.mesh import Mesh
from t5x_like.run import Run


def here(run: Run) -> tuple[Run, str | None]:
  """(the run on the devices that are here, what was changed): where its mesh needs others
  than there are, its batches are spread over all of them."""
  try:
    run.mesh.build()
  except ValueError:
    if jax.process_count() > 1:
      raise
    execution = dataclasses.replace(run.execution, **PIPELINE)
    told = f"devices: {jax.device_count()} here, not those that the run was trained on"
    return dataclasses.replace(
      run, mesh=Mesh(), rules="data", execution=execution
    ), told
  return run, None

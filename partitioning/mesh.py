"""The mesh: devices in a grid with named axes; and starting several processes.

You are in: partitioning, the edge (asks JAX for devices). Axes: `data` (copies of the
model), `fsdp` (copies that share storage), `tensor` (devices that share each product).
"""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Sequence

import jax
import numpy as np

NAMES = ("data", "fsdp", "tensor")
# Set by the launchers whose clusters JAX recognizes by itself.
LAUNCHERS = {
  "SLURM_NTASKS": "SLURM",
  "OMPI_COMM_WORLD_SIZE": "Open MPI",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Mesh:
  """Devices along each axis; -1 on one axis means all that are left."""

  data: int = -1
  fsdp: int = 1
  tensor: int = 1

  def __post_init__(self):
    sizes = self.sizes()
    if any(size == 0 or size < -1 for size in sizes) or sizes.count(-1) > 1:
      raise ValueError(
        f"Mesh(data={self.data}, fsdp={self.fsdp}, tensor={self.tensor}): every axis "
        "must be positive, and one of them may be -1 (all devices that are left)."
      )

  def sizes(self) -> tuple[int, int, int]:
    """(data, fsdp, tensor), as given."""
    return (self.data, self.fsdp, self.tensor)

  def build(self, devices: Sequence[jax.Device] | None = None) -> jax.sharding.Mesh:
    """The mesh over `devices` (default: all of them, over all processes).

    Raises ValueError when the axes do not multiply to the number of devices.
    """
    devices = list(jax.devices() if devices is None else devices)
    known = math.prod(size for size in self.sizes() if size != -1)
    left = len(devices) // known
    shape = tuple(left if size == -1 else size for size in self.sizes())
    if math.prod(shape) != len(devices):
      raise ValueError(
        f"Mesh(data={self.data}, fsdp={self.fsdp}, tensor={self.tensor}) needs a "
        f"multiple of {known} devices, and all of them: there are {len(devices)}. "
        "Change the axes, or set one of them to -1."
      )
    kinds = (jax.sharding.AxisType.Auto,) * len(NAMES)
    # make_mesh knows the wiring of TPU slices; a chosen subset is taken as it is.
    if len(devices) == len(jax.devices()):
      return jax.make_mesh(shape, NAMES, axis_types=kinds, devices=devices)
    grid = np.array(devices).reshape(shape)
    return jax.sharding.Mesh(grid, NAMES, axis_types=kinds)


def initialize_distributed(
  *,
  coordinator_address: str | None = None,
  process_count: int | None = None,
  process_index: int | None = None,
) -> None:
  """Joins the processes of a multi-host run; does nothing in a single process.

  With an address, all three are needed. Without, the launcher's environment decides
  (SLURM or Open MPI with more than one task, or a TPU pod). Call it before JAX is used.
  """
  given = (coordinator_address, process_count, process_index)
  if any(value is not None for value in given):
    if None in given:
      raise ValueError(
        f"--coordinator_address={coordinator_address} --process_count={process_count} "
        f"--process_index={process_index}: give all three, or none of them."
      )
    jax.distributed.initialize(coordinator_address, process_count, process_index)
  elif any(int(os.environ.get(name, "1")) > 1 for name in LAUNCHERS):
    jax.distributed.initialize()
  elif len(os.environ.get("TPU_WORKER_HOSTNAMES", "").split(",")) > 1:
    jax.distributed.initialize()

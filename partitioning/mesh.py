"""The mesh: devices in a grid with named axes.

You are in: partitioning, the edge (asks JAX for devices). axes.py says what the mesh
axes `data`, `fsdp`, `context` and `tensor` mean.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import jax
import numpy as np

from partitioning.axes import MESH_AXES

NAMES = tuple(MESH_AXES)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Mesh:
  """Devices along each axis; -1 on one axis means all that are left."""

  data: int = -1
  fsdp: int = 1
  context: int = 1
  tensor: int = 1

  def __post_init__(self):
    sizes = self.sizes()
    if any(size == 0 or size < -1 for size in sizes) or sizes.count(-1) > 1:
      raise ValueError(
        f"{self}: every axis must be positive, and one of them may be -1 (all devices "
        "that are left)."
      )

  def sizes(self) -> tuple[int, ...]:
    """Devices along each axis of `NAMES`, as given."""
    return tuple(getattr(self, name) for name in NAMES)

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
        f"{self} needs a multiple of {known} devices, and all of them: there are "
        f"{len(devices)}. Change the axes, or set one of them to -1."
      )
    kinds = (jax.sharding.AxisType.Auto,) * len(NAMES)
    # make_mesh knows the wiring of TPU slices; a chosen subset is taken as it is.
    if len(devices) == len(jax.devices()):
      return jax.make_mesh(shape, NAMES, axis_types=kinds, devices=devices)
    grid = np.array(devices).reshape(shape)
    return jax.sharding.Mesh(grid, NAMES, axis_types=kinds)

"""The mesh: devices in a grid with named axes.

You are in: partitioning, the edge (asks JAX for devices). axes.py says what the mesh
axes `data`, `pipeline`, `fsdp`, `context` and `tensor` mean.

Slices are groups of devices with a fast network inside and a slow one between: TPU
slices, or hosts. Only the axis `data` goes from one to another, as its outer part: it is
what sends least, gradients once a step.
"""

from __future__ import annotations

import collections
import dataclasses
import math
from collections.abc import Sequence

import jax
import numpy as np

from partitioning.axes import MESH_AXES

NAMES = tuple(MESH_AXES)
KINDS = (jax.sharding.AxisType.Auto,) * len(NAMES)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Mesh:
  """Devices along each axis; -1 on one axis means all that are left.

  slices: groups that the axis `data` is divided over, its outer part. None: as many as
  the devices name (their `slice_index`), if they can divide it. Devices that name none
  are grouped by process.
  """

  data: int = -1
  pipeline: int = 1
  fsdp: int = 1
  context: int = 1
  tensor: int = 1
  slices: int | None = None

  def __post_init__(self):
    if self.slices is not None and self.slices < 1:
      raise ValueError(f"{self}: slices must be 1 or more, or None.")
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

    Raises ValueError when the axes do not multiply to the number of devices, or when
    slices cannot be made of these.
    """
    devices = list(jax.devices() if devices is None else devices)
    known = math.prod(size for size in self.sizes() if size != -1)
    left = len(devices) // known
    shape = tuple(left if size == -1 else size for size in self.sizes())
    if math.prod(shape) != len(devices):
      simulated = _on_cpu(devices) and len(devices) < known
      raise ValueError(
        f"{self} needs a multiple of {known} devices, and all of them: there are "
        f"{_counted(devices)}. Change the axes, or set one of them to -1"
        + (f"; --devices={known} simulates as many on a CPU." if simulated else ".")
      )
    grid = self.grid(devices, shape)
    return jax.sharding.Mesh(grid, NAMES, axis_types=KINDS)

  def grid(self, devices: Sequence[jax.Device], shape: tuple[int, ...]) -> np.ndarray:
    """The devices in an array of this shape: slice after slice along `data`."""
    groups = self._groups(devices)
    if self.slices is None and shape[0] % len(groups):
      return np.array(sum(groups, [])).reshape(shape)  # another axis must leave a slice
    inner = (shape[0] // len(groups), *shape[1:])
    if {len(group) for group in groups} != {math.prod(inner)}:
      raise ValueError(
        f"{self}: the axis data, {shape[0]} here, must be a multiple of {len(groups)} "
        f"slices, and these equal; they have {[len(group) for group in groups]} devices. "
        "All other axes lie within a slice."
      )
    # make_mesh knows the wiring of TPU slices; a chosen subset is taken as it is.
    if len(devices) == len(jax.devices()):
      meshes = [jax.make_mesh(inner, NAMES, KINDS, devices=group) for group in groups]
      return np.concatenate([mesh.devices for mesh in meshes])
    return np.concatenate([np.array(group).reshape(inner) for group in groups])

  def _groups(self, devices: Sequence[jax.Device]) -> list[list[jax.Device]]:
    """The devices of each slice."""
    named, processes = _by(devices, "slice_index"), _by(devices, "process_index")
    count = self.slices or len(named)
    if count == len(named):
      return named
    if count == 1:
      return [list(devices)]
    if len(named) > 1 or len(processes) % count:
      raise ValueError(
        f"{self}: there are {len(named)} slices and {len(processes)} processes. slices "
        "must be the number of slices, or, with one, a divisor of the number of "
        "processes."
      )
    each = len(processes) // count
    return [sum(processes[i : i + each], []) for i in range(0, len(processes), each)]


def _by(devices: Sequence[jax.Device], name: str) -> list[list[jax.Device]]:
  """Devices with the same value of an attribute, by that value; in the order given."""
  found = collections.defaultdict(list)
  for device in devices:
    found[getattr(device, name, None) or 0].append(device)
  return [found[value] for value in sorted(found)]


def _counted(devices: Sequence[jax.Device]) -> str:
  """How many there are, and where: "8 (2 processes x 4)"."""
  counts = [len(group) for group in _by(devices, "process_index")]
  if len(counts) == 1:
    return str(len(devices))
  return (
    f"{len(devices)} ({len(counts)} processes x {' or '.join(map(str, {*counts}))})"
  )


def _on_cpu(devices: Sequence[jax.Device]) -> bool:
  return all(getattr(device, "platform", None) == "cpu" for device in devices)

"""Predict: seconds from FLOPs and bytes, and which of them decides.

You are in: t5x_like/planner, pure. A roofline (Williams et al. 2009) with three roofs:
products at a share of the chip's peak, bytes through its memory, bytes over the network.
Collectives of the batch's axes (gathering weights, summing gradients) can hide behind
products; those of the tensor axis stand between them and cannot.
"""

from __future__ import annotations

import dataclasses

from t5x_like.planner.chips import Chip
from t5x_like.planner.program import AXES, Program

# Mesh axes whose collectives run beside the products.
HIDDEN = ("data", "fsdp", "context")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Prediction:
  """Seconds of a step by cause, and their sum as it would be on the clock."""

  compute: float
  memory: float
  hidden: float
  exposed: float

  @property
  def seconds(self) -> float:
    """What cannot hide, and the longest of what runs side by side."""
    return self.exposed + max(self.compute, self.memory, self.hidden)

  @property
  def bound(self) -> str:
    """What to change first: "compute", "memory" or "network"."""
    longest = max(self.compute, self.memory)
    if self.hidden > longest or self.exposed > longest:
      return "network"
    return "compute" if self.compute >= self.memory else "memory"


def predict(
  program: Program,
  chip: Chip,
  *,
  mesh: tuple[int, ...],
  dtype: str,
  efficiency: float,
) -> Prediction:
  """efficiency: share of the peak that products of these sizes reach."""
  seconds = {True: 0.0, False: 0.0}
  for (kind, axes), moved in program.moved.items():
    hides = set(axes) <= set(HIDDEN)
    seconds[hides] += transfer(kind, axes, moved, chip, mesh=mesh)
  return Prediction(
    compute=program.flops / (chip.peak(dtype) * efficiency),
    # Every byte of the state and of what is computed on the way, in and out once.
    memory=2 * (program.state + program.temporary) / chip.bandwidth,
    hidden=seconds[True],
    exposed=seconds[False],
  )


def transfer(
  kind: str, axes: tuple[str, ...], moved: float, chip: Chip, *, mesh: tuple[int, ...]
) -> float:
  """Seconds of ring algorithms for `moved` bytes over these mesh axes."""
  devices = len(ring(axes, mesh))
  if devices < 2:
    return 0.0
  once = moved / speed(axes, chip, mesh=mesh)
  if kind == "collective-permute":
    return once
  return (2 if kind == "all-reduce" else 1) * (devices - 1) / devices * once


def speed(axes: tuple[str, ...], chip: Chip, *, mesh: tuple[int, ...]) -> float:
  """Bytes/s of one device in a ring over these axes.

  A ring that leaves its domain crosses the network with all of its members in one
  domain at a time.
  """
  members = ring(axes, mesh)
  near = sum(device < chip.domain for device in members)
  return chip.link if near == len(members) else min(chip.link, near * chip.network)


def ring(axes: tuple[str, ...], mesh: tuple[int, ...]) -> list[int]:
  """Numbers of the devices that differ from device 0 in these mesh axes alone.

  Devices are numbered with the last mesh axis fastest; domains are full of neighbours.
  """
  found, stride = [0], 1
  for axis, size in reversed(list(zip(AXES, mesh, strict=True))):
    if axis in axes:
      found = [device + stride * i for i in range(size) for device in found]
    stride *= size
  return found

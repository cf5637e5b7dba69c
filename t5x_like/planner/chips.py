"""Chips: what one device of a kind can do. Data; the vendors' figures.

You are in: t5x_like/planner, pure. Sources: NVIDIA's data sheets (dense products, no
sparsity; NVLink counted in one direction), Google Cloud's TPU pages (interconnect of one
chip). `network` is what clusters usually have per device, and `domain` how many devices
a fast network joins; both can differ where you are: add a row.
"""

from __future__ import annotations

import dataclasses

from t5x_like.statements import nearest

GB = 10**9
GIB = 2**30


@dataclasses.dataclass(frozen=True, kw_only=True)
class Chip:
  """memory: bytes. bfloat16, float32: matrix-product FLOP/s. bandwidth: bytes/s to its
  memory. link: bytes/s to the other devices of its domain, of `domain` devices. network:
  bytes/s of one device to other domains."""

  memory: int
  bfloat16: float
  float32: float
  bandwidth: float
  link: float
  domain: int
  network: float

  def peak(self, dtype: str) -> float:
    """FLOP/s of matrix products with inputs of this type."""
    return self.float32 if dtype == "float32" else self.bfloat16


def _tpu(memory: int, flops: float, bandwidth: float, link: float, domain: int) -> Chip:
  return Chip(
    memory=memory * GIB,
    bfloat16=flops,
    float32=flops,
    bandwidth=bandwidth * GB,
    link=link * GB,
    domain=domain,
    network=6.25 * GB,
  )


def _gpu(memory: int, flops: float, bandwidth: float, link: float, net: float) -> Chip:
  return Chip(
    memory=memory * GB,
    bfloat16=flops,
    float32=flops / 2,
    bandwidth=bandwidth * GB,
    link=link * GB,
    domain=8,
    network=net * GB,
  )


CHIPS: dict[str, Chip] = {
  "tpu_v4": _tpu(32, 275e12, 1228, 300, 4096),
  "tpu_v5e": _tpu(16, 197e12, 819, 200, 256),
  "tpu_v5p": _tpu(95, 459e12, 2765, 600, 8960),
  "tpu_v6e": _tpu(32, 918e12, 1640, 448, 256),
  "a100_40gb": _gpu(40, 312e12, 1555, 300, 25),
  "a100_80gb": _gpu(80, 312e12, 2039, 300, 25),
  "h100": _gpu(80, 989e12, 3350, 450, 50),
  "h200": _gpu(141, 989e12, 4800, 450, 50),
  "b200": _gpu(180, 2250e12, 8000, 900, 50),
}


def chip(name: str) -> Chip:
  """The row of this name. ValueError for an unknown one, with those there are."""
  if name not in CHIPS:
    hint = nearest(name, CHIPS)
    raise ValueError(
      f"--chip={name} is unknown{hint} Known: {', '.join(CHIPS)} "
      "(t5x_like/planner/chips.py)."
    )
  return CHIPS[name]

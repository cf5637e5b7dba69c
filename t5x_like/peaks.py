"""Peaks: how many matrix-product FLOP/s a device could do, to compare a run with.

You are in: t5x_like, the edge. Figures are the vendors' for dense products (NVIDIA's
data sheets print twice that, for 2:4 sparsity; Google Cloud's TPU pages). For float32
they are TF32 on NVIDIA and bfloat16 on TPU: what JAX computes float32 products with
unless told otherwise. A CPU has no such figure, so it is measured.
"""

from __future__ import annotations

import functools
import time

import jax
import jax.numpy as jnp

PEAKS = {  # device_kind: (16 bits, float32) in FLOP/s for one JAX device
  "NVIDIA A10": (125e12, 62.5e12),
  "NVIDIA A10G": (70e12, 35e12),
  "NVIDIA A100": (312e12, 156e12),
  "NVIDIA L4": (121e12, 60.5e12),
  "NVIDIA L40S": (362e12, 183e12),
  "NVIDIA H100 80GB HBM3": (989e12, 494.5e12),
  "NVIDIA H100 PCIe": (756e12, 378e12),
  "NVIDIA H100 NVL": (835e12, 417.5e12),
  "NVIDIA GH200": (989e12, 494.5e12),
  "NVIDIA H200": (989e12, 494.5e12),
  "NVIDIA H200 NVL": (835e12, 417.5e12),
  "NVIDIA B200": (2250e12, 1125e12),
  "TPU v4": (275e12, 275e12),
  "TPU v5 lite": (197e12, 197e12),
  "TPU v5": (459e12, 459e12),
  "TPU v6 lite": (918e12, 918e12),
}
SIDE = 1024  # of the square products measured on a CPU: 2 GFLOP, some milliseconds
TRIALS = 10


def peak(*, device_kind: str, dtype: str, devices: int) -> float | None:
  """FLOP/s of all devices together, or None where the kind is not known.

  Simulated CPU devices share the same cores, so on CPUs their number does not count.
  """
  if device_kind == "cpu":
    return _cpu() * jax.process_count()
  name = max((n for n in PEAKS if _is(device_kind, n)), key=len, default=None)
  if name is None:
    return None
  return PEAKS[name][1 if dtype == "float32" else 0] * devices


def _is(device_kind: str, name: str) -> bool:
  # "NVIDIA A100-SXM4-80GB" is an A100; "NVIDIA A10G" is no A10, and a MIG slice is none.
  rest = device_kind.removeprefix(name)
  named = device_kind.startswith(name) and (not rest or rest[0] in " -")
  return named and " MIG " not in device_kind


@functools.cache
def _cpu() -> float:
  """The best float32 rate seen in a few products, on all cores JAX uses (0.2 s)."""
  device = jax.local_devices(backend="cpu")[0]
  square = jax.device_put(jnp.ones((SIDE, SIDE)), device)
  product = jax.jit(lambda a: a @ a)
  product(square).block_until_ready()
  seconds = []
  for _ in range(TRIALS):
    start = time.perf_counter()
    product(square).block_until_ready()
    seconds.append(time.perf_counter() - start)
  return 2 * SIDE**3 / min(seconds)

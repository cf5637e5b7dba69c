"""Ranges: what a value may be drawn from, as gin writes it.

You are in: t5x_like/study, pure part (standard library only). Downstream: sweep.Random
and tune.py. Four kinds: ("log", 1e-4, 1e-2), ("uniform", 0.0, 0.2), ("int", 64, 256) with
both ends, ("choice", 8, 16, "relu").
"""

from __future__ import annotations

import math
from collections.abc import Mapping


def check(owner: str, of: Mapping[str, tuple]) -> None:
  """Raises ValueError for what is no range, and where there is none."""
  if not of:
    raise ValueError(
      f"{owner}={of} must map names to ranges, {{'x': ('log', 0.1, 1)}}."
    )
  for name, how in of.items():
    if not _is_range(how):
      raise ValueError(
        f"{owner}: {name}={how} must be ('log', low, high), ('uniform', low, high), "
        "('int', low, high) or ('choice', value, ...), with low below high."
      )


def at(how: tuple, share: float) -> object:
  """The value at `share`, 0 to 1, of a range; floats have six digits."""
  kind, *values = how
  if kind == "choice":
    return values[_part(len(values), share)]
  low, high = values
  if kind == "int":
    return low + _part(high - low + 1, share)
  if kind == "log":
    low, high = math.log(low), math.log(high)
    return float(f"{math.exp(low + (high - low) * share):.6g}")
  return float(f"{low + (high - low) * share:.6g}")


def _part(count: int, share: float) -> int:
  return min(int(share * count), count - 1)


def _is_range(how: object) -> bool:
  if not isinstance(how, list | tuple) or len(how) < 2:
    return False
  kind, *values = how
  if kind == "choice":
    return True
  if kind not in ("log", "uniform", "int") or len(values) != 2:
    return False
  number = int if kind == "int" else (int, float)
  if not all(isinstance(v, number) and not isinstance(v, bool) for v in values):
    return False
  return values[0] < values[1] and (kind != "log" or values[0] > 0)

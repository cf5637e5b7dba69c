"""Kernels: which attention kernel computes which layers of a run, and why no faster one.

You are in: t5x_like. `report` asks models/components/attend.py what it will choose, from
the specs alone: nothing is traced. Printed when a stage begins, and by `inspect`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from models.components import attend
from models.components.attend_ring import Ring
from models.components.attend_splash import Split
from models.components.execution import Execution
from models.components.position import Rotary


def report(
  model: object,
  execution: Execution,
  *,
  lengths: dict[str, int],
  rows: int,
  batch_shards: int = 1,
  ring: Ring | None = None,
  split: Split | None = None,
) -> dict[str, str]:
  """{"decoder self-attention": "rows", ...}; with layers where they differ, and with the
  reason for each faster kernel that was not taken.

  lengths: tokens of a row, by side. rows: of a microbatch. Raises ValueError, with
  `Execution.strict`, for a layer that a kernel of this backend refused.
  """
  found: dict[str, dict[str, list[int]]] = {}
  for side in ("encoder", "decoder"):
    if (stack := getattr(model, side, None)) is None:
      continue
    for number, (part, spec, biased) in _parts(stack):
      keys = lengths["encoder"] if part == "cross" else lengths[side]
      case = _case(spec, biased, queries=lengths[side], keys=keys, rows=rows)
      call = spec.call(
        dropout=model.dropout, aligned=lengths[side] == keys, batch_shards=batch_shards
      )
      dtype = execution.compute_dtype
      call = dataclasses.replace(call, ring=ring, split=split, dtype=dtype)
      place = f"{side} {part}-attention"
      text = _chosen(execution, f"{place} of layer {number}", {"call": call} | case)
      found.setdefault(place, {}).setdefault(text, []).append(number)
  return {place: _sentence(texts) for place, texts in found.items()}


def _parts(stack) -> Iterator[tuple[int, tuple[str, object, bool]]]:
  """(number, ("self" or "cross", its spec, whether its scores get a bias))."""
  for number, block in enumerate(stack.blocks):
    own = block.attention.position
    shared = stack.position is not None
    biased = shared or not (own is None or isinstance(own, Rotary))
    yield number, ("self", block.attention, biased or block.attention.row_bias)
    if block.cross is not None:
      yield number, ("cross", block.cross, False)


def _case(spec, biased: bool, *, queries: int, keys: int, rows: int) -> dict:
  """Shapes as `attend.choose` takes them."""
  bias = (rows if spec.row_bias else 1, spec.heads, queries, keys)
  return {
    "q": (rows, queries, spec.heads, spec.key_width),
    "k": (rows, keys, spec.kv_heads or spec.heads, spec.key_width),
    "bias": bias if biased else None,
  }


def _chosen(execution: Execution, layer: str, case: dict[str, object]) -> str:
  name, passed = attend.choose(execution.attention, **case)
  if execution.strict and (refused := attend.fallbacks(execution.attention, **case)):
    reasons = "; ".join(f"{other} refuses: {why}" for other, why in refused.items())
    raise ValueError(
      f"Execution.strict: {layer} would fall back to {name}, for {reasons}. Change what "
      f"is refused, put {name} first in Execution.attention, or set strict = False."
    )
  reasons = "; ".join(f"{other} refused: {why}" for other, why in passed.items())
  return f"{name} ({reasons})" if reasons else name


def _sentence(texts: dict[str, list[int]]) -> str:
  if len(texts) == 1:
    return next(iter(texts))
  parts = []
  for text, numbers in texts.items():
    name, *reasons = text.split(" ", 1)
    parts.append(" ".join([name, f"in layers {_spans(numbers)}", *reasons]))
  return " and ".join(parts)


def _spans(numbers: list[int]) -> str:
  """[0, 1, 2, 5] -> "0-2, 5"."""
  spans: list[list[int]] = []
  for number in numbers:
    if spans and number == spans[-1][1] + 1:
      spans[-1][1] = number
    else:
      spans.append([number, number])
  return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in spans)

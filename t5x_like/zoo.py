"""The verb `zoo`: which architectures there are, what one costs, how two differ.

You are in: t5x_like. Upstream: models/zoo.py. Everything is computed from specs: nothing
is allocated, a model of 500B parameters is described in a second.
"""

from __future__ import annotations

import argparse
import difflib
import json

import jax
import jax.numpy as jnp

from models.components import flops, param, spec
from models.row import Row
from models.zoo import ZOO
from t5x_like.statements import ConfigError, nearest

COLUMNS = ("name", "kind", "year", "parameters", "paper")
TABLES = ("vocab", "abspos_buckets", "relpos_buckets", "segment_types")
CACHE_BYTES = 2  # of an element: caches are kept in 16 bits


def verb(arguments: argparse.Namespace) -> int:
  """Runs the verb."""
  if arguments.model is None:
    if arguments.diff is not None:
      raise ConfigError("--diff compares two models: t5x_like zoo MODEL --diff=OTHER.")
    _list(arguments, family=arguments.family)
    return 0
  if arguments.diff is None and arguments.model in {r.family for r in ZOO.values()}:
    _list(arguments, family=arguments.model)
    return 0
  row = found(arguments.model)
  if arguments.diff is not None:
    lines = difference(row, found(arguments.diff))
    print(json.dumps(lines) if arguments.json else "\n".join(lines))
    return 0
  report = described(row, length=arguments.length)
  if arguments.json:
    print(json.dumps(report))
    return 0
  print(f"{report.pop('model')}\n")
  width = max(map(len, report))
  for name, value in report.items():
    print(
      f"{name:<{width}}  {f'{value:,}' if isinstance(value, int) and name != 'year' else value}"
    )
  return 0


def found(name: str) -> Row:
  """The row of this name; ConfigError with the nearest one."""
  if name not in ZOO:
    raise ConfigError(f"no model {name!r} in the zoo{nearest(name, ZOO)}")
  return ZOO[name]


def listed(family: str | None, kind: str | None, size: str | None) -> list[Row]:
  """Rows that fit all filters; ConfigError where none does."""
  rows = list(ZOO.values())
  wanted = (
    ("family", family, lambda row: row.family),
    ("kind", kind, lambda row: row.kind),
    ("size", size, lambda row: row.name.rpartition("/")[2]),
  )
  for flag, value, of in wanted:
    if value is None:
      continue
    known = sorted({of(row) for row in ZOO.values()})
    if value not in known:
      raise ConfigError(f"--{flag}={value}: there is none{nearest(value, known)}")
    rows = [row for row in rows if of(row) == value]
  return rows


def line(row: Row) -> dict[str, object]:
  """What `zoo --json` prints of a row."""
  return {
    "name": row.name,
    "family": row.family,
    "kind": row.kind,
    "year": row.year,
    "paper": row.paper,
    "parameters": param.count(row.spec()),
    "published": row.parameters,
    "counted_as": row.counted,
    "reference": row.reference,
  }


def _list(arguments: argparse.Namespace, *, family: str | None) -> None:
  rows = listed(family, arguments.kind, arguments.size)
  lines = [line(row) for row in rows]
  if arguments.json:
    print(json.dumps(lines))
    return
  cells = [[_cell(one, column) for column in COLUMNS] for one in lines]
  widths = [max(map(len, column)) for column in zip(COLUMNS, *cells, strict=True)]
  for name, kind, year, count, paper in [COLUMNS, *cells]:
    a, b, c, d, _ = widths
    print(f"{name:<{a}}  {kind:<{b}}  {year:<{c}}  {count:>{d}}  {paper}")


def _cell(one: dict, column: str) -> str:
  value = one[column]
  return f"{value:,}" if column == "parameters" else str(value)


def described(row: Row, *, length: int) -> dict[str, object]:
  """The spec and what it costs at `length` tokens a row."""
  model = row.spec()
  declared = param.declarations(model)
  total = sum(one.size for one in declared.values())
  tables = sum(one.size for one in declared.values() if set(one.axes) & set(TABLES))
  sides = [side for side in ("encoder", "decoder") if hasattr(model, side)]
  lengths = dict.fromkeys(sides, length)
  tokens = sum(lengths.values())
  return line(row) | {
    "model": spec.fold(model),
    "non-embedding": total - tables,
    "active": flops.active_parameters(model),
    "length": length,
    "FLOPs a token (forward)": flops.forward_flops(model, batch=1, lengths=lengths)
    // tokens,
    "cache bytes a token (16 bit)": cache_bytes(model),
  }


def cache_bytes(model: object) -> int | None:
  """Bytes that decoding keeps of each token of the decoder; None without a decoder."""
  if not hasattr(model, "decoder"):
    return None
  stack = model.build().decoder
  shapes = [
    jax.eval_shape(lambda n=n: stack.empty_cache(1, n, jnp.bfloat16)) for n in (1, 2)
  ]
  one, two = (sum(leaf.size for leaf in jax.tree.leaves(tree)) for tree in shapes)
  return CACHE_BYTES * (two - one)


def difference(one: Row, other: Row) -> list[str]:
  """Lines of the folded specs that only one of the two has, - and + in front."""
  texts = [spec.fold(row.spec()).splitlines() for row in (one, other)]
  lines = difflib.unified_diff(*texts, one.name, other.name, lineterm="", n=1)
  return list(lines)

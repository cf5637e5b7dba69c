"""The verb `study coord-check`: one run at several widths or depths, its activations.

You are in: t5x_like, the edge. Upstream: main.py, study/coordinate_flags.py. What a width
is, the names of the families' arguments say: `dim`, `hidden`, `heads` and `kv_heads`
grow alike, `head_dim` stays. Downstream: coordinates.py measures, plot.py draws.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path

from t5x_like import config, coordinates
from t5x_like.coordinates import Coordinates
from t5x_like.parametrisation import CompleteP, MuP
from t5x_like.plot import plot_coordinates
from t5x_like.run import Run
from t5x_like.statements import ConfigError, Macro, Program

WIDE = ("dim", "hidden", "heads", "kv_heads")
DEEP = ("layers", "decoder_layers")
KINDS = {"mup": MuP, "complete-p": CompleteP}
DIGITS = 3


def verb(arguments: argparse.Namespace) -> int:
  """Prints a table for each parametrisation and draws one figure of all."""
  sizes, names = _sizes(arguments)
  runs = {size: sized(arguments, names, size) for size in sizes}
  found: dict[str, dict[int, Coordinates]] = {}
  for kind in arguments.parametrisation.split(","):
    found[kind] = {}
    for size, run in parametrised(runs, kind).items():
      if run == runs[size] and size in found.get("given", {}):  # the base itself
        found[kind][size] = found["given"][size]
        continue
      found[kind][size] = coordinates.measure(
        run, steps=arguments.steps, rate=arguments.rate
      )
  what = "width" if names == WIDE else "depth"
  if arguments.out is not None:
    Path(arguments.out).parent.mkdir(parents=True, exist_ok=True)
    plot_coordinates(arguments.out, found, what=what)
  if arguments.json:
    print(json.dumps({kind: report(by_size) for kind, by_size in found.items()}))
    return 0
  for kind, by_size in found.items():
    print(f"{kind}: what {arguments.steps} steps change, by {what}")
    print(text(report(by_size)))
  return 0


def _sizes(arguments: argparse.Namespace) -> tuple[list[int], tuple[str, ...]]:
  """The sizes asked for, and the arguments of families that they are sizes of."""
  if (arguments.widths is None) == (arguments.depths is None):
    raise ConfigError(
      "coord-check needs --widths=32,64,128 or --depths=2,4,8, not both."
    )
  given = arguments.widths or arguments.depths
  names = WIDE if arguments.widths else DEEP
  try:
    sizes = sorted({int(part) for part in given.split(",")})
  except ValueError as error:
    raise ConfigError(f"{given!r} must be integers with commas: 32,64,128.") from error
  if len(sizes) < 2 or sizes[0] < 1 or arguments.steps < 1:
    raise ConfigError(
      f"--steps={arguments.steps} must be positive, and {given!r} two sizes at least."
    )
  unknown = set(arguments.parametrisation.split(",")) - {"given", *KINDS}
  if unknown:
    raise ConfigError(
      f"--parametrisation={arguments.parametrisation} knows given, {', '.join(KINDS)}, "
      f"with commas between; not {', '.join(sorted(unknown))}."
    )
  return sizes, names


def sized(arguments: argparse.Namespace, names: Sequence[str], size: int) -> Run:
  """The run with the arguments `names` of its family grown until the first is `size`.

  Raises ConfigError when the files do not bind the first, or one would be no integer.
  """
  paths = [p for part in arguments.gin_search_paths for p in part.split(",") if p]
  files, given = list(arguments.gin_file), list(arguments.gin_bindings)
  bound = _bound(config.parse(files, given, paths).program, names)
  first = {value for target, value in bound.items() if target.endswith(f".{names[0]}")}
  if len(first) != 1:
    raise ConfigError(
      f"coord-check sets {names[0]} of the model, which the files bind to "
      f"{sorted(first) or 'nothing'}. Give a model whose file binds it once."
    )
  [old] = first
  for target, value in bound.items():
    if value * size % old:
      raise ConfigError(
        f"{target} = {value} grows with {names[0]} from {old} to {size}, to no integer. "
        f"Use multiples of {old}, or other numbers in the file."
      )
    given.append(f"{target} = {value * size // old}")
  return config.parse(files, [*given, "run.Run.model_dir = 'unused'"], paths).build()


def _bound(program: Program, names: Sequence[str]) -> dict[str, int]:
  """{"llama.llama.dim": 64} of what the files say of the model; a single head of keys
  and values is a choice, not a size."""
  found = {}
  for binding in program.bindings:
    ours = binding.target is not None and binding.target.module.startswith("models.")
    if ours and binding.argument in names and not binding.scope:
      value = binding.value
      if isinstance(value, Macro):
        value = program.macro(value.name).value
      if isinstance(value, int) and (binding.argument, value) != ("kv_heads", 1):
        found[f"{binding.target}.{binding.argument}"] = value
  return found


def parametrised(runs: dict[int, Run], kind: str) -> dict[int, Run]:
  """The runs under a parametrisation whose base is the smallest; "given": as they are."""
  if kind == "given":
    return runs
  rule = KINDS[kind](base=runs[min(runs)].model)
  return {
    size: dataclasses.replace(run, parametrisation=rule) for size, run in runs.items()
  }


def report(found: dict[int, Coordinates]) -> list[dict[str, object]]:
  """A row for each kind of layer: sizes before and after, changes, slope, verdict."""
  sizes, rows = list(found), []
  for kind in found[sizes[0]].change:
    last = lambda values, kind=kind: [float(values(found[s])[kind][-1]) for s in sizes]
    change = last(lambda one: one.change)
    exponent = coordinates.slope(sizes, change)
    rows.append(
      {
        "part": kind,
        "sizes": sizes,
        "before": [float(found[s].size[kind][0]) for s in sizes],
        "after": last(lambda one: one.size),
        "change": change,
        "slope": exponent,
        "verdict": coordinates.verdict(exponent),
      }
    )
  return rows


def text(rows: list[dict[str, object]]) -> str:
  """Rows as a table: mean |x| at the start and mean |change|, at every size."""
  sizes = rows[0]["sizes"]
  head = ["part", *(f"start {s}" for s in (sizes[0], sizes[-1])), *map(str, sizes)]
  lines = [[*head, "slope", "verdict"]]
  number: Callable[[float], str] = lambda value: f"{value:.{DIGITS}g}"
  for row in rows:
    before = row["before"]
    line = [row["part"], number(before[0]), number(before[-1])]
    line += [number(value) for value in row["change"]]
    lines.append([*line, f"{row['slope']:+.2f}", row["verdict"]])
  widths = [max(len(line[at]) for line in lines) for at in range(len(lines[0]))]
  return "\n".join(
    "  "
    + "  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip()
    for line in lines
  )

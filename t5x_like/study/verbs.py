"""The verbs `t5x_like study ...`: what is read, which law, what is printed.

You are in: t5x_like/study, the edge. Upstream: main.py, flags.py. Each verb returns the
exit status; `fit` returns 5 when the points do not identify every constant.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable

import numpy as np

from t5x_like.statements import ConfigError
from t5x_like.study import fit_report, flags, points, prediction
from t5x_like.study import isoflop as parabolas
from t5x_like.study.downstream import DownstreamExponential, DownstreamSigmoid
from t5x_like.study.fit import Fit
from t5x_like.study.fit import fit as fitted
from t5x_like.study.intervals import bootstrap, percentile
from t5x_like.study.laws import (
  Chinchilla,
  ChinchillaTied,
  HPLaw,
  Kaplan,
  Law,
  OverTraining,
  PowerLaw,
  PowerLawFloor,
)
from t5x_like.study.levenberg import Huber
from t5x_like.study.repeats import Repeat
from t5x_like.study.routing import RoutedBilinear
from t5x_like.study.starts import chinchilla_grid

Arguments = argparse.Namespace
LAWS: dict[str, type[Law]] = {
  "chinchilla": Chinchilla,
  "chinchilla-tied": ChinchillaTied,
  "kaplan": Kaplan,
  "over-training": OverTraining,
  "repeat": Repeat,
  "routed": RoutedBilinear,
  "power-law": PowerLaw,
  "power-law-floor": PowerLawFloor,
  "hyperparameter": HPLaw,
  "sigmoid": DownstreamSigmoid,
  "exponential": DownstreamExponential,
}
NOT_IDENTIFIED = 5


def fit(arguments: Arguments) -> int:
  """The verb `study fit`."""
  columns, left_out = _columns(arguments)
  if arguments.method in ("isoflop", "envelope"):
    return _approach(arguments, columns, left_out)
  found, law = _estimate(arguments, columns), LAWS[arguments.law]
  groups, samples = columns.get("group"), None
  if arguments.bootstrap:
    samples = bootstrap(
      found, count=arguments.bootstrap, seed=arguments.seed, groups=groups
    )
  row = fit_report.report(
    found,
    samples=samples,
    groups=groups,
    budgets=arguments.budget,
    published=_published(law, arguments.compare),
  )
  row |= {"file": arguments.csv, "left_out": left_out, "seed": arguments.seed}
  convention = _convention(arguments, law)
  if arguments.json:
    print(json.dumps(row | {"convention": convention}))
  else:
    print(fit_report.text(row, flags.LAWS[arguments.law], convention))
  return NOT_IDENTIFIED if row["not_identified"] else 0


def predict(arguments: Arguments) -> int:
  """The verb `study predict`."""
  if arguments.bootstrap < fit_report.LEAST_RESAMPLES:
    raise ConfigError(
      f"--bootstrap={arguments.bootstrap} must be {fit_report.LEAST_RESAMPLES} or more: "
      "a prediction without an interval is none."
    )
  columns, left_out = _columns(arguments)
  inputs = LAWS[arguments.law].inputs
  places = [_numbers("--at", words.split(",")) for words in arguments.at]
  for place, words in zip(places, arguments.at, strict=True):
    if set(place) != set(inputs) or min(place.values()) <= 0:
      form = ",".join(f"{name}=NUMBER" for name in inputs)
      raise ConfigError(f"--at={words} must be {form}, with numbers above 0.")
  row = prediction.predictions(
    _estimate(arguments, columns),
    places,
    resamples=arguments.bootstrap,
    seed=arguments.seed,
    groups=columns.get("group"),
  )
  row |= {"file": arguments.csv, "left_out": left_out}
  if arguments.json:
    print(json.dumps(row))
  else:
    print(prediction.text(row, flags.LAWS[arguments.law]))
  return 0


def _estimate(arguments: Arguments, columns: dict[str, np.ndarray]) -> Fit:
  """The law of --law through the points."""
  law = LAWS[arguments.law]
  if arguments.starts == "grid" and law is not Chinchilla:
    raise ConfigError("--starts=grid is the grid of --law=chinchilla; leave it out.")
  return fitted(
    law,
    {name: _input(arguments, columns, name) for name in law.inputs},
    columns["loss"],
    huber=Huber(np.inf if arguments.method == "squares" else arguments.delta),
    fixed=_numbers("--fix", arguments.fix),
    starts=chinchilla_grid() if arguments.starts == "grid" else None,
  )


def _columns(arguments: Arguments) -> tuple[dict[str, np.ndarray], str]:
  """({flag: values [n]} without the points left out, what was left out in words)."""
  given = {
    name: getattr(arguments, name)
    for name in ("loss", "n", "d", "flops", "u", "experts", "x", "group")
    if getattr(arguments, name) is not None
  }
  where = _pairs("--where", arguments.where)
  table = points.read(arguments.csv, sorted(set(given.values())), where)
  columns = {}
  for name, column in given.items():
    columns[name] = table.columns[column] if name == "group" else table.numbers(column)
  drop, total = arguments.drop_highest, len(columns["loss"])
  if not 0 <= drop < total:
    raise ConfigError(f"--drop_highest={drop} of {total} points; give fewer.")
  keep = np.sort(np.argsort(columns["loss"], kind="stable")[: total - drop])
  left_out = []
  if where:
    rule = " and ".join(f"{column}={value}" for column, value in where.items())
    left_out.append(f"the {table.others} without {rule}")
  if drop:
    lines = np.delete(table.lines, keep).tolist()
    more = ", ..." if drop > 10 else ""
    shown = ", ".join(map(str, lines[:10]))
    left_out.append(f"the {drop} of highest loss (lines {shown}{more})")
  words = f"left out: {'; '.join(left_out)}" if left_out else "none left out"
  return {name: values[keep] for name, values in columns.items()}, words


def _input(arguments: Arguments, columns: dict, name: str) -> np.ndarray:
  """An input of a law: its column, or tokens from FLOPs, or --x for a single one."""
  single = len(LAWS[arguments.law].inputs) == 1
  if single and "x" in columns:
    return columns["x"]
  if name in columns and not single:
    return columns[name]
  if name == "d" and {"flops", "n"} <= set(columns):
    return columns["flops"] / 6 / columns["n"]
  needed = "x" if single else name
  also = " (or --flops=COLUMN)" if name == "d" else ""
  raise ConfigError(f"--law={arguments.law} needs --{needed}=COLUMN{also}.")


def _published(law: type[Law], words: str | None) -> Law | None:
  """The law of --compare, which must name every constant."""
  if words is None:
    return None
  given = _numbers("--compare", words.split(","))
  if set(given) != set(law.names()):
    names = ", ".join(law.names())
    raise ConfigError(f"--compare={words} must give all of {names}, as NAME=VALUE.")
  return law(**given)


def _pairs(flag: str, words: list[str]) -> dict[str, str]:
  """{column: text} of COLUMN=TEXT; text may hold further equals signs."""
  for word in words:
    if "=" not in word:
      raise ConfigError(f"{flag}={word} must be COLUMN=TEXT, e.g. {flag}=arm=small.")
  return dict(word.split("=", 1) for word in words)


def _numbers(flag: str, words: list[str]) -> dict[str, float]:
  found = {}
  for word in words:
    name, equals, value = word.partition("=")
    try:
      found[name.strip()] = float(value)
    except ValueError:
      equals = ""
    if not equals:
      raise ConfigError(f"{flag}={word} must be NAME=VALUE, e.g. {flag}=E=1.69.")
  return found


def _convention(arguments: Arguments, law: type[Law]) -> str:
  if "n" not in law.inputs:
    return "No parameters are counted."
  tokens = f"D is column {arguments.d!r}" if arguments.d else "D is C / 6N"
  return (
    f"N is column {arguments.n!r}, {tokens}, C = 6 N D. Exponents depend on whether N "
    "counts embeddings: name the convention beside them."
  )


def _approach(arguments: Arguments, columns: dict, left_out: str) -> int:
  """Approaches 1 and 2, which fit no law of N and D."""
  if arguments.budget and not {"n", "flops"} <= set(columns):
    raise ConfigError("--budget needs --n=COLUMN and --flops=COLUMN.")
  missing = [name for name in ("n", "flops") if name not in columns]
  if missing:
    raise ConfigError(
      f"--method={arguments.method} needs --n=COLUMN and --flops=COLUMN; missing: "
      f"{', '.join(missing)}."
    )
  row = {"file": arguments.csv, "method": arguments.method, "left_out": left_out}
  if arguments.method == "isoflop":
    table = columns["flops"], columns["n"], columns["loss"]
    found = parabolas.isoflop(*table)
    row["vertices"] = [vars(vertex) for vertex in found.vertices]
    if arguments.bootstrap >= fit_report.LEAST_RESAMPLES:
      row["intervals"] = _exponents(table, arguments)
  else:
    found = _envelope(columns)
  row |= {"n": vars(found.n), "d": vars(found.d)}
  row["allocation"] = [
    {"flops": flops, "n": float(found.n(flops)), "d": float(found.d(flops))}
    for flops in arguments.budget
  ]
  if arguments.json:
    print(json.dumps(row))
    return 0
  print("\n".join(_approach_lines(row)))
  return 0


def _exponents(table: tuple, arguments: Arguments) -> dict:
  """{"n", "d": bootstrap intervals of the exponents, "resamples": how many they use}."""
  count, seed = arguments.bootstrap, arguments.seed
  drawn = parabolas.isoflop_samples(*table, count=count, seed=seed)
  if len(drawn) < fit_report.LEAST_RESAMPLES:
    return {"resamples": len(drawn)}
  low, high = percentile(drawn)
  n, d = zip(low.tolist(), high.tolist(), strict=True)
  return {"n": list(n), "d": list(d), "resamples": len(drawn)}


def _envelope(columns: dict) -> parabolas.Envelope:
  if "group" not in columns:
    raise ConfigError("--method=envelope needs --group=COLUMN, the name of each curve.")
  curves = []
  for name in np.unique(columns["group"]):
    rows = columns["group"] == name
    sizes = np.unique(columns["n"][rows])
    if len(sizes) > 1:
      raise ConfigError(
        f"curve {name} has {len(sizes)} values of --n; it must have one."
      )
    curves.append((float(sizes[0]), columns["flops"][rows], columns["loss"][rows]))
  return parabolas.envelope(curves)


def _approach_lines(row: dict) -> list[str]:
  lines = [f"{row['method']} of {row['file']}, {row['left_out']}"]
  for vertex in row.get("vertices", []):
    inside = 0 < vertex["place"] < 1
    note = "" if inside else "  outside the sizes tried"
    lines.append(
      f"  {vertex['flops']:.3g} FLOPs: N = {vertex['size']:.3g}, loss "
      f"{vertex['loss']:.4f}, {vertex['points']} points, at {vertex['place']:.2f} of "
      f"the sizes{note}"
    )
  for name in ("n", "d"):
    line = row[name]
    ends = row.get("intervals", {}).get(name)
    shown = f" [{ends[0]:.4f}, {ends[1]:.4f}]" if ends else ""
    lines.append(
      f"{name.upper()}_opt = {line['coefficient']:.4g} C^{line['exponent']:.4f}{shown}  "
      f"(R^2 {line['r_squared']:.5f})"
    )
  for best in row["allocation"]:
    lines.append(
      f"With {best['flops']:.3g} FLOPs: N = {best['n']:.3g}, D = {best['d']:.3g}"
    )
  return [
    *lines,
    "Parabolas and envelopes are biased even without noise unless both exponents are",
    "equal (docs/scaling_laws.md), and no interval shows it: compare with --method=huber.",
  ]


VERBS: dict[str, Callable[[Arguments], int]] = {
  "study fit": fit,
  "study predict": predict,
}

"""Laws in a report: constants, predictions, speed-ups, sizes at equal FLOPs.

You are in: t5x_like/study, pure part (standard library only). Upstream: summary.py.
Downstream: document.py.
"""

from __future__ import annotations

from t5x_like.study import speech
from t5x_like.study.blocks import (
  Block,
  Drawing,
  Heading,
  Paragraph,
  Table,
  Warning,
  filled,
)


def laws(found: dict) -> list[Block]:
  """Laws with intervals, predictions checked, budgets and speed-ups."""
  fitted = [law for law in found["laws"] if "law" in law]
  lines: list[Block] = [
    Heading("Loss by compute"),
    Drawing(
      "loss_by_compute",
      "Means with standard errors; lines are the laws with the 95 % interval of their "
      "mean; hollow points were held out.",
    ),
  ]
  for law in found["laws"]:
    if "why" in law:
      lines.append(Paragraph(f"{law['arm']}: no law is fitted ({law['why']})."))
  if fitted:
    lines.append(_constants(fitted, found["resamples"]))
    notes = [f"{law['arm']}: {n}." for law in fitted for n in law["not_identified"]]
    lines += [Warning(text) for text in notes]
    lines.append(_held_out(fitted))
  if any(law["wanted"] for law in fitted):
    lines.append(_wanted(fitted))
  if found["speedups"]:
    lines.append(_speedups(found))
  return lines


def _constants(fitted: list[dict], resamples: int) -> Table:
  return Table(
    f"C is training FLOPs, N parameters, D tokens. Huber on logarithms, delta 0.001; bootstrap of {resamples} x "
    "points, percentiles; profile by likelihood ratio; both 95 %.",
    ("arm", "law", "constant", "estimate", "bootstrap", "profile", "points", "R^2"),
    tuple(
      (
        law["arm"],
        law["formula"],
        name,
        f"{constant['estimate']:.4g}",
        speech.interval(*constant["bootstrap"], ".4g"),
        speech.interval(*constant["profile"], ".4g"),
        f"{law['points']} at {law['budgets']} budgets",
        f"{law['r_squared']:.4f}",
      )
      for law in fitted
      for name, constant in law["constants"].items()
    ),
  )


def _held_out(fitted: list[dict]) -> Table:
  """Runs kept apart; where there are none, the largest of those fitted."""
  planned = tuple(
    (
      law["arm"],
      f"{p['point']} seed {p['seed']}",
      f"{p['reach']:.2f}",
      f"{p['predicted']:.4f}",
      speech.interval(*p["interval"], ".4f"),
      f"{p['measured']:.4f}",
      f"{p['error']:+.2%}",
      "yes" if p["interval"][0] <= p["measured"] <= p["interval"][1] else "no",
    )
    for law in fitted
    for p in law["predicted"]
  )
  if planned:
    return Table(
      "Predictions of runs that no law has seen. The interval is of one new run, if the "
      "law still holds there.",
      (
        "arm",
        "run",
        "times the largest fitted",
        "predicted",
        "95 %",
        "measured",
        "error",
        "inside",
      ),
      planned,
    )
  checks = [(law["arm"], law["held_out"]) for law in fitted if law["held_out"]]
  return Table(
    "Laws fitted again without the largest runs, which they then predict.",
    ("arm", "runs left out", "times the largest kept", "mean error", "worst"),
    tuple(
      (
        arm,
        str(check["dropped"]),
        f"{check['reach']:.3g}",
        f"{check['mean_absolute_error']:.2%}",
        f"{check['worst_error']:+.2%}",
      )
      for arm, check in checks
    ),
  )


def _wanted(fitted: list[dict]) -> Table:
  def with_ends(row: dict, name: str, form: str) -> str:
    if name not in row:
      return ""
    ends = row.get(f"{name}_interval")
    return f"{row[name]:{form}} {speech.interval(*ends, form) if ends else ''}".strip()

  return filled(
    "What budgets would give, if the laws hold there; 95 % intervals of the laws.",
    ("arm", "FLOPs", "times the largest fitted", "loss", "best N", "best D"),
    [
      (
        law["arm"],
        f"{row['flops']:.3g}",
        f"{row['reach']:.3g}",
        with_ends(row, "loss", ".4f"),
        with_ends(row, "n", ".3g"),
        with_ends(row, "d", ".3g"),
      )
      for law in fitted
      for row in law["wanted"]
    ],
  )


def _speedups(found: dict) -> Table:
  top = found["speedups"][0]["flops"]
  return Table(
    f"Speed-up by the laws: what {found['baseline']} would have to spend for the loss "
    f"that an arm reaches with {top:.3g} FLOPs, over that. It takes the "
    "baseline's law beyond its runs. Pairs are resampled together.",
    ("arm", "speed-up", "95 %", "the laws cross at"),
    tuple(
      (
        each["arm"],
        "without end" if each["factor"] is None else f"{each['factor']:.2f}",
        speech.interval(*each["interval"], ".2f"),
        ", ".join(f"{flops:.2g} FLOPs" for flops in each["crossings"])
        or "nowhere here",
      )
      for each in found["speedups"]
    ),
  )


def grids(found: dict) -> list[Block]:
  """What an IsoFLOP grid says; nothing without one."""
  if not found["grids"]:
    return []
  lines: list[Block] = [
    Heading("Sizes at equal FLOPs"),
    Paragraph(
      "A parabola of loss in log N for each budget. Its vertex is not quite the best size "
      "unless both exponents of the law are equal; no interval shows that."
    ),
    Drawing("sizes_at_equal_flops", "Runs, parabolas and their lowest points."),
  ]
  rows = [
    (
      grid["arm"],
      f"{vertex['flops']:.3g}",
      f"{vertex['size']:.4g}",
      f"{vertex['loss']:.4f}",
      f"{vertex['place']:.2f}" + ("" if 0 < vertex["place"] < 1 else ", outside"),
      f"{grid['exponent']:.3f} {speech.interval(*grid['interval'], '.3f')}",
    )
    for grid in found["grids"]
    for vertex in grid.get("vertices", ())
  ]
  columns = ("arm", "FLOPs", "best N", "loss", "place among sizes", "N_opt ~ C^")
  if rows:
    lines.append(
      Table("Vertices; the exponent is of all of an arm.", columns, tuple(rows))
    )
  lines += [
    Paragraph(f"{grid['arm']}: {grid['why']}.")
    for grid in found["grids"]
    if "why" in grid
  ]
  return lines

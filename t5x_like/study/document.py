"""Document: what a report says and in which order, as blocks without a format.

You are in: t5x_like/study, pure part (standard library only). Upstream: summary.py.
Downstream: html.py and markdown.py, which know how each block looks and nothing else.
"""

from __future__ import annotations

import dataclasses
import textwrap

from t5x_like.study import speech

block = dataclasses.dataclass(frozen=True)


@block
class Heading:
  text: str


@block
class Paragraph:
  text: str


@block
class Warning:
  """What a reader must not miss."""

  text: str


@block
class Table:
  """caption: what it shows. Cells are text."""

  caption: str
  columns: tuple[str, ...]
  rows: tuple[tuple[str, ...], ...]


@block
class Drawing:
  """A figure of figures.py by name."""

  name: str
  caption: str


@block
class Code:
  """Text in which spaces and line ends count. folded: shown when asked for."""

  text: str
  folded: str = ""


COMPARED = (
  "arm",
  "runs",
  "mean",
  "s.e.",
  "difference",
  "95 % t",
  "95 % bootstrap",
  "p (Holm)",
  "verdict",
  "speed-up",
  "not matched",
)
Block = Heading | Paragraph | Warning | Table | Drawing | Code


def blocks(found: dict) -> list[Block]:
  """The report of a summary."""
  return [
    *_head(found),
    *_arms(found),
    *_compared(found),
    *_laws(found),
    *grids(found),
    *_comparability(found),
    *_runs(found),
    *_repeat(found),
  ]


def _head(found: dict) -> list[Block]:
  lines: list[Block] = [Heading(found["question"] or found["name"])]
  if found["question"]:
    lines.append(Paragraph(f"Study {found['name']}."))
  lines.append(Paragraph(speech.extent(found)))
  lines += [Warning(text) for text in speech.warnings(found)]
  lines += [Paragraph(text) for text in speech.findings(found)]
  return lines


def _arms(found: dict) -> list[Block]:
  lines: list[Block] = [Heading("Arms")]
  for arm in found["arms"]:
    if arm["name"] == found["baseline"]:
      lines.append(Paragraph(f"{arm['name']}: the baseline."))
    else:
      title = f"{arm['name']}: its configuration beside the baseline's"
      lines.append(Code("\n".join(arm["differs"]) or "nothing", folded=title))
  return lines


def _compared(found: dict) -> list[Block]:
  tables = [t for t in found["tables"] if t["rows"]]
  lines: list[Block] = [Heading(f"Comparison: {found['metric']}")]
  lines.append(Paragraph(speech.METHOD.format(baseline=found["baseline"])))
  lines.append(Drawing("differences", "Paired differences with 95 % t intervals."))
  lines += [_table(table) for table in tables[-1:] + tables[:-1]]
  if found["trends"]:
    lines.append(_trends(found))
  others = [table for table in found["other_tables"] if table["rows"]]
  if others:
    lines.append(Heading("Other losses, measured at the same step"))
    lines += [_table(table, named=True) for table in others]
  lines.append(Drawing("learning_curves", "Means over seeds; bands hold all of them."))
  return lines


def _table(table: dict, *, named: bool = False) -> Table:
  title = table["title"] or "all runs"
  matched = f", {table['match']} matched" if table["match"] else ""
  named_by = f"{table['metric']}, " if named else ""
  caption = f"{named_by}{title}: {table['pairs']} of {table['planned']} pairs{matched}."
  return _filled(caption, COMPARED, [speech.row(row) for row in table["rows"]])


def _filled(caption: str, columns: tuple[str, ...], rows: list[tuple]) -> Table:
  """A table without the columns in which no row says anything."""
  kept = [i for i in range(len(columns)) if any(row[i] for row in rows)]
  return Table(
    caption,
    tuple(columns[i] for i in kept),
    tuple(tuple(row[i] for i in kept) for row in rows),
  )


def _trends(found: dict) -> Table:
  return Table(
    "Does a difference last? Its slope by ln FLOPs, over all pairs, held-out ones "
    "included; of the opposite sign, an advantage that shrinks.",
    ("arm", "slope", "95 %", "p"),
    tuple(
      (
        trend["arm"],
        f"{trend['slope']:+.4f}",
        speech.interval(trend["low"], trend["high"], "+.4f"),
        f"{trend['p']:.3g}",
      )
      for trend in found["trends"]
    ),
  )


def _laws(found: dict) -> list[Block]:
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


def _wanted(fitted: list[dict]) -> Table:
  def with_ends(row: dict, name: str, form: str) -> str:
    if name not in row:
      return ""
    ends = row.get(f"{name}_interval")
    return f"{row[name]:{form}} {speech.interval(*ends, form) if ends else ''}".strip()

  return _filled(
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
    f"that an arm reaches with {top:.3g} FLOPs, over that; pairs resampled together.",
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


def _comparability(found: dict) -> list[Block]:
  lines: list[Block] = [Heading("What makes the losses comparable")]
  rows = [
    (name, " | ".join(textwrap.shorten(value, 160) for value in values))
    for name, values in found["comparable"].items()
  ]
  lines.append(
    Table(
      "Equal for all runs of a line with one value.", ("what", "value"), tuple(rows)
    )
  )
  return lines


def _runs(found: dict) -> list[Block]:
  ended = [row for row in found["rows"] if row["state"] in ("failed", "diverged")]
  lines: list[Block] = [Heading("Runs"), Paragraph(speech.cost(found))]
  if ended:
    lines.append(
      Table(
        "Runs without a number. A diverged run is an outcome: its pair is left out of "
        "the means, and counted beside them.",
        ("run", "state", "reason"),
        tuple((speech.run(row), row["state"], row["reason"]) for row in ended),
      )
    )
  columns = ("run", "state", "value", "parameters", "tokens", "FLOPs", "seconds")
  every = [speech.run_line(row) for row in found["rows"]]
  widths = [max(map(len, column)) for column in zip(columns, *every, strict=True)]
  text = [
    "  ".join(word.ljust(width) for word, width in zip(row, widths, strict=True))
    for row in (columns, *every)
  ]
  listed = "\n".join(line.rstrip() for line in text)
  lines.append(Code(listed, folded=f"all {len(every)} runs (also in points.csv)"))
  return lines


def _repeat(found: dict) -> list[Block]:
  return [
    Heading("To repeat it"),
    Paragraph(speech.made_by(found)),
    Code("\n".join(speech.commands(found))),
  ]

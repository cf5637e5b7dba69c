"""Document: what a report says and in which order.

You are in: t5x_like/study, pure part (standard library only). Upstream: summary.py.
Downstream: report.py. What it says of laws is in laws_section.py, its sentences are in
speech.py.
"""

from __future__ import annotations

import textwrap

from t5x_like.study import laws_section, search_section, speech
from t5x_like.study.blocks import (
  Block,
  Code,
  Drawing,
  Heading,
  Paragraph,
  Table,
  Warning,
  filled,
)
from t5x_like.study.noise_scale import trade

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


def blocks(found: dict) -> list[Block]:
  """The report of a summary."""
  return [
    *_head(found),
    *_arms(found),
    *search_section.blocks(found),
    *_compared(found),
    *laws_section.laws(found),
    *laws_section.grids(found),
    *_batches(found),
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
  lines.append(
    Drawing("loss_by_setting", "Means over seeds; the lowest of each line is ringed.")
  )
  lines.append(Drawing("learning_curves", "Means over seeds; bands hold all of them."))
  return lines


def _table(table: dict, *, named: bool = False) -> Table:
  title = table["title"] or "all runs"
  matched = f", {table['match']} matched" if table["match"] else ""
  named_by = f"{table['metric']}, " if named else ""
  caption = f"{named_by}{title}: {table['pairs']} of {table['planned']} pairs{matched}."
  return filled(caption, COMPARED, [speech.row(row) for row in table["rows"]])


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


def _batches(found: dict) -> list[Block]:
  if not found["batches"]:
    return []
  columns = ("arm", "parameters", "tokens", "runs", "batch", "suggested", "all runs")
  columns = (*columns, "steps", "data")
  text = (
    "Batches in target tokens a step. Suggested is where gradient noise and gradient "
    "are equal (B_simple of McCandlish et al. 2018), the median of runs at their end. "
    "Steps and data are those of the batch used, over the fewest there could be; at the "
    "suggested batch both are 2."
  )
  rows = tuple(_batch(row) for row in found["batches"])
  return [Heading("How large a batch"), Table(text, columns, rows)]


def _batch(row: dict) -> tuple[str, ...]:
  steps, data = trade(row["batch"], row["suggested"])
  return (
    row["arm"],
    f"{row['params']:,}",
    f"{row['tokens']:,.0f}",
    str(row["runs"]),
    f"{row['batch']:,.0f}",
    f"{row['suggested']:,.0f}",
    speech.interval(row["low"], row["high"], ",.0f"),
    f"{steps:.2f}",
    f"{data:.2f}",
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
  branches = found["branches"]
  if branches["graph"]:
    lines.append(Paragraph(f"{branches['saving'][0]}. {speech.BRANCHES}"))
    lines.append(Code(branches["graph"], folded="which run leaves which, and where"))
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

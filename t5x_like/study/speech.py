"""Speech: numbers of a summary as sentences and table cells.

You are in: t5x_like/study, pure part (standard library only). Upstream: summary.py.
Downstream: document.py.
"""

from __future__ import annotations

import shlex

from t5x_like.study.plan_text import duration
from t5x_like.study.store import FINAL

METHOD = (
  "Runs with the same seed share the order of their data and the initial values of all "
  "they share, and are compared in pairs with {baseline}; below zero is better. The "
  "interval is Student's t of the mean paired difference; from eight pairs on a "
  "bootstrap interval stands beside it. p is corrected by Holm over the arms of its "
  "table, not over tables. A verdict needs p under 0.05. Where several points are in "
  "one table, means and their s.e. are over all of them. Speed-up: the baseline's "
  "compute over the arm's for the baseline's last loss, from the values measured "
  "during training; with a schedule that decays to the end it favours the baseline."
)

BRANCHES = (
  "A branch takes over the whole state of its trunk at the step where its own rates begin "
  "to decay, and ends as it would from its first step. So its tokens and FLOPs, in every "
  "table and law, are those of the whole length; what was spent counts the decay alone."
)

VERDICTS = {
  "better": "Better than",
  "worse": "Worse than",
  "not distinguishable": "Not distinguishable from",
  "too few runs": "Too few runs to compare with",
}


def extent(found: dict) -> str:
  """How large the study is and how much of it is there."""
  cells = found["spent"]["cells"]
  parts = ", ".join(f"{count} {state}" for state, count in sorted(cells.items()))
  points = len({row["point"] for row in found["rows"]})
  matched = f", matched by {found['match']}" if found["match"] else ""
  return (
    f"{len(found['arms'])} arms at {points} point{'s' * (points > 1)}, "
    f"{sum(cells.values())} runs ({parts}){matched}."
  )


def warnings(found: dict) -> list[str]:
  """Why a reader should not take the numbers as they stand."""
  lines = []
  for name, groups in found["unlike"].items():
    lines.append(f"Not comparable: arms differ in {name} ({' | '.join(groups)}).")
  code = found["code"]
  for version, count in code["results"].items():
    if version != code["version"] and version not in code["accepted"]:
      lines.append(f"{count} results were made by other code ({version}).")
  cells = found["spent"]["cells"]
  missing = {state: n for state, n in cells.items() if state not in FINAL}
  if missing:
    why = ", ".join(f"{count} {state}" for state, count in sorted(missing.items()))
    lines.append(
      f"{sum(missing.values())} of {sum(cells.values())} runs have no result ({why}); "
      "tables hold the seeds that ended in all arms."
    )
  return lines


def findings(found: dict) -> list[str]:
  """The verdicts of the last table, in which all points are together, in words."""
  table = next((t for t in reversed(found["tables"]) if t["rows"]), None)
  if table is None:
    return []
  lines = []
  for verdict, words in VERDICTS.items():
    rows = [row for row in table["rows"] if row["verdict"] == verdict]
    if rows:
      names = ", ".join(f"{row['arm']}{_by(row)}" for row in rows)
      lines.append(f"{words} {found['baseline']}: {names}.")
  place = table["title"] or "all runs"
  return [f"Over {place}, {table['pairs']} pairs. " + " ".join(lines)] if lines else []


def _by(row: dict) -> str:
  if row.get("difference") is None:
    return ""
  low_high = interval(row["low"], row["high"], "+.3f")
  needed = f"; {row['seeds']} pairs would tell" if row["seeds"] else ""
  return f" ({row['difference']:+.3f} {low_high}{needed})"


def interval(low: float | None, high: float | None, form: str) -> str:
  """[low, high]; an end that is None has none."""
  ends = ("unbounded" if end is None else f"{end:{form}}" for end in (low, high))
  return f"[{', '.join(ends)}]"


def row(found: dict) -> tuple[str, ...]:
  """A row of a comparison, with the columns of document._table."""
  has = found.get("difference") is not None
  verdict = found["verdict"]
  if found["seeds"]:
    verdict += f"; {found['seeds']} pairs would tell, if the difference is real"
  return (
    found["arm"],
    str(found["runs"])
    + (f" ({found['diverged']} diverged)" if found["diverged"] else ""),
    _number(found["mean"]),
    _number(found["se"]),
    f"{found['difference']:+.4f}" if has else "",
    interval(found["low"], found["high"], "+.4f") if has else "",
    interval(*found["bootstrap"], "+.4f") if found.get("bootstrap") else "",
    "" if found["adjusted"] is None else f"{found['adjusted']:.3g}",
    verdict,
    _speedup(found.get("speedup")),
    _left(found),
  )


def _speedup(found: dict | None) -> str:
  if not found:
    return ""
  text = f"{found['mean']:.2f} {interval(found['low'], found['high'], '.2f')}"
  if found["never"]:
    text += f", never in {found['never']} of {found['pairs']}"
  return text


def _left(found: dict) -> str:
  """What was not matched, beyond half a hundredth of a percent."""
  if found["verdict"] == "baseline":
    return ""
  left = {name: d for name, d in found["differs"].items() if abs(d) >= 5e-5}
  return ", ".join(f"{d:+.2%} {name}" for name, d in left.items())


def _number(value: float | None) -> str:
  return "" if value is None else f"{value:.4f}"


def run(found: dict) -> str:
  """A run as people name it."""
  return " ".join(filter(None, [found["arm"], found["point"], f"seed={found['seed']}"]))


def run_line(found: dict) -> tuple[str, ...]:
  """A run in the list of all."""
  return (
    run(found) + (" held out" if found["held_out"] else ""),
    found["state"],
    _number(found["value"]),
    f"{found['params']:,}",
    f"{found['tokens']:,}",
    f"{found['flops']:.3g}",
    "" if found["seconds"] is None else f"{found['seconds']:.0f}",
  )


def cost(found: dict) -> str:
  """What was spent."""
  spent = found["spent"]
  searching = ""
  if spent["searching"]["trials"]:
    share = spent["searching"]["flops"] / spent["flops"]
    searching = f" ({share:.0%} of them in {spent['searching']['trials']} trials)"
  return (
    f"{spent['flops']:.3g} training FLOPs in finished runs{searching}, "
    f"{duration(spent['seconds'])} of run time in all attempts, one after another. FLOPs are three times those of a "
    "forward pass, counted by component, padding included; tokens are positions of the "
    "model's rows, padding included; parameters are all that are declared."
  )


def made_by(found: dict) -> str:
  """Code and packages."""
  code = found["code"]
  text = f"Code version {code['version']}"
  for version, reason in code["accepted"].items():
    text += f", {version} accepted ({reason})"
  packages = [
    ", ".join(f"{name} {number}" for name, number in versions.items())
    for versions in found["versions"]
  ]
  return f"{text}. {'; other runs with '.join(packages)}".rstrip(" .") + "."


def commands(found: dict) -> list[str]:
  """What makes the study and this report again, from the folder of the repository."""
  flags = [f"--gin_file={path}" for path in found["gin_files"]]
  flags += [f"--gin_bindings={shlex.quote(b)}" for b in found["gin_bindings"]]
  return [
    " ".join(["t5x_like study run", *flags]),
    f"t5x_like study report --study_dir=runs/{found['name']}",
  ]

"""Search section: what a report says of how arms were tuned.

You are in: t5x_like/study, pure part (standard library only). Upstream: summary.py, by
search_text.found. Downstream: document.py. A study without searches has no such section.
"""

from __future__ import annotations

from t5x_like.study.blocks import (
  Block,
  Code,
  Drawing,
  Heading,
  Paragraph,
  Warning,
  filled,
)
from t5x_like.study.worker import setting

METHOD = (
  "Every arm searched its own settings at every point, with as many trials as the others "
  "and with a seed that none of the compared runs has. Trials were dropped only beside "
  "trials of their own arm. The setting with the lowest {metric} was then trained with the "
  "study's seeds; only those runs are compared."
)
DRAWN = (
  "Trials: filled, trained to the end; hollow, where they were dropped; ringed, the setting "
  "that was found."
)
COLUMNS = ("arm", "point", "trials", "ended", "found", "its loss", "FLOPs")


def blocks(found: dict) -> list[Block]:
  """The section; empty without searches."""
  searches = found["searches"]
  if not searches:
    return []
  lines: list[Block] = [Heading("How the arms were tuned")]
  lines.append(Paragraph(METHOD.format(metric=found["metric"])))
  lines += [Warning(_edge(search)) for search in searches if search["best"]["edges"]]
  lines.append(filled("Searches.", COLUMNS, [_row(search) for search in searches]))
  lines.append(Drawing("searches", DRAWN))
  every = [line for search in searches for line in _trials(search)]
  lines.append(Code("\n".join(every), folded=f"all {len(every)} trials"))
  return lines


def _row(search: dict) -> tuple[str, ...]:
  return (
    search["arm"],
    search["point"],
    str(len(search["trials"])),
    ", ".join(f"{count} {state}" for state, count in search["ended"].items()),
    setting(search["best"]["values"]),
    f"{search['best']['value']:.4f}",
    f"{search['flops']:.3g}",
  )


def _trials(search: dict) -> list[str]:
  """A line a trial, with the last loss that it came to."""
  lines = []
  for trial in search["trials"]:
    step, loss = trial["curve"][-1] if trial["curve"] else (0, float("nan"))
    named = " ".join(filter(None, [search["arm"], search["point"]]))
    tried = f"{named} trial={trial['number']} {setting(trial['values'])}"
    lines.append(f"{tried}: {trial['state']}, {loss:.4f} at step {step}")
  return lines


def _edge(search: dict) -> str:
  named = " ".join(filter(None, [search["arm"], search["point"]]))
  return (
    f"The best {', '.join(search['best']['edges'])} of {named} is the lowest or highest "
    "that was tried: a better one may lie beyond, and this arm may be undertuned."
  )

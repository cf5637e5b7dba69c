"""Outcome: what a run directory says about how far a run is and how it ended.

You are in: t5x_like/study, the edge (standard library only). Upstream: run directories
that `t5x_like train` writes. Downstream: worker.py, status.
"""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

TAIL = 65_536  # bytes: more than the newest lines of a ledger, of which some are long
# Exit statuses that schedulers and signals give to what should go on elsewhere.
PAUSED = 75  # also of a run that came to its run.Run.pause
PREEMPTED = (PAUSED, 128 + 15, 128 + 2, 128 + 10)
DIVERGED = 42


def ledger(run: Path) -> list[dict]:
  """All lines of metrics.jsonl; a torn last one is left out."""
  try:
    text = (run / "metrics.jsonl").read_bytes()
  except FileNotFoundError:
    return []
  return _lines(text.rpartition(b"\n")[0])


def progress(run: Path) -> tuple[int, float]:
  """(newest step in metrics.jsonl, steps a second lately); zeros before the first."""
  try:
    with open(run / "metrics.jsonl", "rb") as file:
      file.seek(max(0, os.fstat(file.fileno()).st_size - TAIL))
      lines = _lines(file.read().rpartition(b"\n")[0])
  except FileNotFoundError:
    return 0, 0.0
  if not lines:
    return 0, 0.0
  first, last = lines[0], lines[-1]
  seconds = last["time"] - first["time"]
  rate = (last["step"] - first["step"]) / seconds if seconds > 0 else 0.0
  return last["step"], max(rate, 0.0)


def classify(status: int) -> str:
  """Exit status -> "done", "diverged", "preempted", "killed" or "failed".

  Negative: ended by a signal that the run could not answer, which may be chance.
  """
  if status == 0:
    return "done"
  if status == DIVERGED:
    return "diverged"
  if status < 0:
    return "killed"
  return "preempted" if status in PREEMPTED else "failed"


def result(run: Path, *, metric: str, steps: int) -> dict[str, object]:
  """{"state", "value", "reason", ...} of a run that ended by itself.

  A metric that is not finite, or a training loss that is not, is a diverged run.
  Raises ValueError when the run did not measure the metric at its last step.
  """
  lines = ledger(run)
  found = [line for line in lines if metric in line]
  if not found:
    known = sorted({name for line in lines for name in line})
    raise ValueError(
      f"metrics.jsonl has no {metric!r}; Study.metric may be one of: {', '.join(known)}"
    )
  if found[-1]["step"] != steps:
    raise ValueError(
      f"{metric!r} was measured last at step {found[-1]['step']} of {steps}; evaluate "
      "at the last step (run.Evaluation)."
    )
  value = found[-1][metric]
  losses = [line["loss"] for line in lines if "loss" in line]
  wrong = [x for x in (value, *losses[-1:]) if not math.isfinite(x)]
  return {
    "state": "diverged" if wrong else "done",
    "reason": f"{metric} or loss is {wrong[0]}" if wrong else "",
    "metric": metric,
    "value": value if math.isfinite(value) else None,
    "final": {name: v for name, v in found[-1].items() if _finite(v)},
    "step": found[-1]["step"],
    "curve": [[line["step"], line[metric]] for line in found if _finite(line[metric])],
  } | _noise(lines)


def _noise(lines: list[dict]) -> dict[str, dict]:
  """{"noise": {"batch", "suggested"}} in target tokens a step, measured last; {} if never.

  suggested: B_simple of noise_scale.py, at which noise and gradient are equal.
  """
  for line in reversed(lines):
    if "noise_scale_tokens" in line:
      found = {"batch": line["target_tokens"], "suggested": line["noise_scale_tokens"]}
      return {"noise": found}
  return {}


def diverged(reason: str) -> dict[str, object]:
  """The result of a run that diverged before it measured anything."""
  return {"state": "diverged", "value": None, "reason": reason, "curve": []}


def last_words(log: Path) -> str:
  """The line of a log that says what went wrong, as well as can be told."""
  try:
    text = log.read_bytes()[-TAIL:].decode(errors="replace")
  except FileNotFoundError:
    return ""
  lines = [line.strip() for line in text.splitlines() if line.strip()]
  errors = [line for line in lines if line.startswith("error:")]
  return (errors or lines or [""])[-1][:500]


def _finite(value: object) -> bool:
  return isinstance(value, int | float) and math.isfinite(value)


def _lines(text: bytes) -> list[dict]:
  found = []
  for line in text.splitlines():
    try:
      found.append({k: _number(v) for k, v in json.loads(line).items()})
    except ValueError:
      continue  # torn by a kill; the run drops it when it goes on
  return found


def _number(value: object) -> object:
  """JSON has no nan; the trainer writes these words."""
  return float(value) if value in ("nan", "inf", "-inf") else value

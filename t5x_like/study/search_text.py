"""Searches, as text: how far each is, and what it found.

You are in: t5x_like/study, pure part (standard library only). Upstream: a plan and the
states of its runs. Downstream: `study plan`, `study status` and the report. A study
without searches has nothing to say here.
"""

from __future__ import annotations

from collections import Counter

from t5x_like.study.branches import trained
from t5x_like.study.worker import label, setting


def found(plan: dict, states: dict) -> list[dict]:
  """One a search: {"arm", "point" as text, "trials": [{"number", "values", "state",
  "value", "curve"}], "ended": {state: count}, "flops" that trials were trained for, "best":
  {"values", "edges", "trial", "trial_number", "value"} or None, "missing": why there is none}."""
  return [
    _search(plan, trials, states) for trials in _groups(plan.get("trials", ())).values()
  ]


def lines(plan: dict, states: dict) -> list[str]:
  """A line a search, and what follows when all have ended."""
  text = []
  for search in found(plan, states):
    named = " ".join(filter(None, ["search", search["arm"], search["point"]]))
    ended = ", ".join(f"{n} {state}" for state, n in search["ended"].items())
    text.append(f"{named}: {len(search['trials'])} trials ({ended}); {_said(search)}")
  waiting = plan.get("searching", ())
  if waiting:
    runs = sum(search["runs"] for search in waiting)
    flops = sum(search["flops"] for search in waiting)
    text.append(f"then {runs} runs with what they find, {flops:.3g} FLOPs")
  return text


def check_ended(plan: dict) -> None:
  """Raises ValueError while an arm has no runs to be compared by."""
  waiting = plan.get("searching", ())
  if waiting:
    told = "; ".join(f"{_name(s)}: {s['missing']}" for s in waiting)
    raise ValueError(
      f"{len(waiting)} searches have found nothing yet ({told}). `t5x_like study run` "
      "with the study's gin file goes on with them."
    )


def _name(search: dict) -> str:
  return label(search | {"seed": ""}).removesuffix(" seed=")


def _said(search: dict) -> str:
  best = search["best"]
  if best is None:
    return search["missing"]
  text = f"found {setting(best['values'])}, {best['value']:.4f}"
  if best["edges"]:
    text += f" (the end of what was tried of {', '.join(best['edges'])}: widen it)"
  return text


def _groups(trials: list[dict]) -> dict[tuple, list[dict]]:
  groups: dict[tuple, list[dict]] = {}
  for cell in trials:
    groups.setdefault((cell["arm"], str(cell["point"])), []).append(cell)
  return groups


def _search(plan: dict, trials: list[dict], states: dict) -> dict:
  arm, point = trials[0]["arm"], trials[0]["point"]
  own = lambda other: other["arm"] == arm and other["point"] == point
  tuned = next((c.get("tuned") for c in plan["cells"] if own(c)), None)
  missing = next((s["missing"] for s in plan["searching"] if own(s)), "")
  rows, flops = [], 0.0
  for cell in trials:
    state = states[cell["address"]]
    result = state.result or {}
    flops += trained(result, "flops") if result else 0.0
    rows.append(
      {
        "number": cell["trial"]["number"],
        "values": cell["trial"]["values"],
        "state": state.name,
        "value": result.get("value"),
        "curve": result.get("curve", []),
      }
    )
  if tuned:
    number = next(
      c["trial"]["number"] for c in trials if c["address"] == tuned["trial"]
    )
    value = states[tuned["trial"]].result["value"]
    tuned = tuned | {"value": value, "trial_number": number}
  return {
    "arm": arm,
    "point": " ".join(f"{name}={value}" for name, value in point.items()),
    "trials": rows,
    "ended": dict(Counter(row["state"] for row in rows)),
    "flops": flops,
    "best": tuned,
    "missing": missing,
  }

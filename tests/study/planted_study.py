"""A planned study whose runs are those of fake_trainer.py."""

import json
import sys
from pathlib import Path

from t5x_like.study.store import Store

FAKE = Path(__file__).with_name("fake_trainer.py")
SAME = {"held-out data": "the same"}


def planted(root: Path, arms: dict[str, dict], seeds: int, points=({},)) -> Store:
  """arms: name -> what fake_trainer.py reads: {"loss": 3.0, "seconds": 0.01, ...}."""
  cells = [
    {
      "address": f"{seed:02x}{place:02x}{arm}",
      "arm": arm,
      "point": point,
      "seed": seed,
      "config": arm,
      "solved": [],
      "steps": 20,
      "params": 1000,
      "tokens": 2000,
      "flops": 1e6,
      "differs": {"tokens": 0.0, "flops": 0.0, "params": 0.0},
      "comparable": SAME,
      "held_out": False,
    }
    for seed in range(seeds)
    for place, point in enumerate(points)
    for arm in arms
  ]
  plan = {
    "name": "planted",
    "question": "",
    "metric": "validation/loss",
    "baseline": next(iter(arms)),
    "match": None,
    "arms": list(arms),
    "code": "0",
    "gin_files": ["planted.gin"],
    "gin_bindings": [],
    "command": [sys.executable, str(FAKE)],
    "cwd": str(root),
    "data_dir": None,
    "cells": cells,
  }
  root.mkdir(parents=True, exist_ok=True)
  store = Store(root)
  store.write_plan(plan, {arm: json.dumps(how) for arm, how in arms.items()})
  (root / "code.json").write_text('{"version": "0", "accepted": {}}')
  return store


def branched(store: Store, trunk: str, *, step: int) -> Store:
  """Every other arm leaves the arm `trunk`, whose runs must "keep" that step."""
  for cell in store.plan["cells"]:
    if cell["arm"] != trunk:
      of = cell["address"].removesuffix(cell["arm"]) + trunk
      cell["branch"] = {"of": of, "step": step, "tokens": 1000, "flops": 5e5}
  store.write_plan(store.plan, {})
  return store


def searched(store: Store, losses: dict[str, list[dict]], *, factor: int) -> Store:
  """Gives arms trials: losses, {step: loss} of each; the steps before the last are
  looks."""
  trials, texts = [], {}
  for arm, own in losses.items():
    cell = next(c for c in store.plan["cells"] if c["arm"] == arm)
    for number, curve in enumerate(own):
      config = f"{arm}-{number}"
      *looks, _ = curve
      trial = {"number": number, "round": 0, "values": {"RATE": number + 1.0}}
      trial |= {"looks": looks, "factor": factor}
      trials.append(cell | {"address": f"t{config}", "config": config, "trial": trial})
      texts[config] = json.dumps({"loss": 9.0, "losses": curve})
  store.write_plan(store.plan | {"trials": trials, "searching": []}, texts)
  return store


def completed(store: Store) -> list[str]:
  """Addresses, once for each time that a run came to its end."""
  return (store.root / "completed.txt").read_text().split()

"""What the study verbs take on 10,000 cells, as a user calls them.

Run:  python benchmarks/studies/ten_thousand_cells.py
Two arms, five sizes, ten lengths, one hundred seeds. `plan` really plans them; their
results are then written as workers write them, from Chinchilla's law with noise, and read
by the other verbs. Each verb is a process of its own, started cold.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from t5x_like.study.laws import Chinchilla
from t5x_like.study.store import Store

REPOSITORY = Path(__file__).resolve().parents[2]
STUDY = """
from __gin__ import dynamic_registration
from t5x_like.study import study
from t5x_like.study import sweep

study.Study:
  name = 'many'
  question = 'What do the verbs take on 10,000 cells?'
  base = ['studies/tiny_ffn/base.gin']
  arms = [@gated/study.Arm(), @plain/study.Arm()]
  axes = [@sweep.Ladder(), @sweep.Grid()]
  seeds = @study.Seeds()
study.Seeds.values = %s
sweep.Ladder.of = {
  'xs': ['llama.llama.dim = 16'], 's': ['llama.llama.dim = 32'],
  'm': ['llama.llama.dim = 64'], 'l': ['llama.llama.dim = 96'],
  'xl': ['llama.llama.dim = 128']}
sweep.Grid.of = {'TRAIN_STEPS': [20, 30, 45, 70, 100, 150, 220, 330, 500, 750]}
gated/study.Arm.name = 'gated'
plain/study.Arm:
  name = 'plain'
  swaps = {'GatedFFN': '@ffn.FFN()'}
  bindings = ['ffn.FFN.hidden = 128']
"""
LAW = Chinchilla(E=1.7, A=40.0, B=60.0, alpha=0.34, beta=0.28)
EVALUATIONS = 10


def timed(*words: str) -> float:
  """Seconds that a verb takes."""
  begin = time.perf_counter()
  command = [sys.executable, "-m", "t5x_like.main", "study", *words]
  subprocess.run(command, cwd=REPOSITORY, check=True, stdout=subprocess.DEVNULL)
  return time.perf_counter() - begin


def measure(store: Store) -> None:
  """Writes the result of every cell."""
  rng = np.random.default_rng(0)
  for cell in store.plan["cells"]:
    names = ("address", "arm", "point", "seed", "steps", "params", "tokens", "flops")
    off = 0.02 * (cell["arm"] == "plain") + rng.normal(0, 0.005)
    at = np.linspace(0.1, 1, EVALUATIONS)
    loss = LAW(n=np.full(EVALUATIONS, cell["params"]), d=at * cell["tokens"]) + off
    steps = np.round(at * cell["steps"]).astype(int).tolist()
    found = {name: cell[name] for name in (*names, "comparable")} | {
      "state": "done",
      "reason": "",
      "attempt": 1,
      "seconds": 60.0,
      "code": "0",
      "metric": "validation/loss",
      "value": float(loss[-1]),
      "final": {"validation/loss": float(loss[-1])},
      "curve": [list(pair) for pair in zip(steps, loss.tolist(), strict=True)],
    }
    folder = store.folder(cell)
    folder.mkdir(parents=True)
    (folder / "result.json").write_text(json.dumps(found))


def main() -> None:
  """Prints a line a verb."""
  with tempfile.TemporaryDirectory() as folder:
    study, gin = Path(folder, "study"), Path(folder, "study.gin")
    gin.write_text(STUDY % list(range(100)))
    here = f"--study_dir={study}"
    table = f"--csv={study / 'report' / 'points.csv'}"
    columns = ("--n=params", "--d=tokens", "--loss=value")
    print(f"plan     {timed('plan', f'--gin_file={gin}', here):6.1f} s", flush=True)
    store = Store(study)
    assert len(store.plan["cells"]) == 10_000
    measure(store)
    verbs = {
      "status, the first time": ("status", here),
      "status": ("status", here),
      "compare": ("compare", here),
      "report": ("report", here),
      "fit, one arm": ("fit", table, *columns, "--where=arm=gated"),
    }
    for name, words in verbs.items():
      print(f"{name:<24} {timed(*words):6.1f} s", flush=True)


if __name__ == "__main__":
  main()

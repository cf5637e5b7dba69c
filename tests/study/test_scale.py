"""A study of 10,000 cells is planned, reported on and compared.

How long it takes is measured by benchmarks/studies/ten_thousand_cells.py.
"""

import json

from planted_study import planted

from t5x_like.study import cells, compare, index, plan_text, progress_text
from t5x_like.study.study import Arm, Seeds, Study
from t5x_like.study.sweep import LogRange


def test_ten_thousand_cells_are_expanded():
  study = Study(
    name="many",
    base=("studies/tiny_ffn/base.gin",),
    arms=(Arm(name="a"), Arm(name="b", bindings=("llama.llama.hidden = 96",))),
    axes=(LogRange(name="schedules.Cosine.peak", low=1e-4, high=1e-1, count=50),),
    seeds=Seeds(values=tuple(range(100))),
  )
  found = cells.expand(study, code="0").cells
  assert len({cell.address for cell in found}) == 10_000


def test_ten_thousand_cells_are_reported_on(tmp_path):
  arms = {name: {} for name in "abcde"}
  points = [{"x": place} for place in range(20)]
  store = planted(tmp_path, arms, seeds=100, points=points)
  # Written as workers write them, but for the waits for the disk.
  for number, cell in enumerate(store.plan["cells"]):
    if number % 10:
      folder = store.folder(cell)
      folder.mkdir(parents=True)
      (folder / "result.json").write_text(_result(cell, number))
  states = index.states(store)
  assert sum(state.name == "done" for state in states.values()) == 9_000
  assert "9000 done" in progress_text.text(store, states, most=40)
  assert "10000 cells" in plan_text.text(store, states)
  assert len(compare.tables(store, states, metric=None)) == 21


def _result(cell: dict, number: int) -> str:
  names = ("address", "arm", "point", "seed", "steps", "params", "tokens", "flops")
  found = {"state": "done", "reason": "", "attempt": 1, "seconds": 1.0, "final": {}}
  found |= {"value": 3.0 + number % 7 / 100, "code": "0"}
  return json.dumps(found | {name: cell[name] for name in names})

"""Workers and launchers: killed, slow, many at once, and runs that fail."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from planted_study import branched, completed, planted

from t5x_like import main
from t5x_like.study import claims, compare, index
from t5x_like.study.store import Store

LAUNCH = """
import sys
from t5x_like.study import launcher
from t5x_like.study.store import Store
flags = ("--heartbeat=0.2", "--expiry=5")
sys.exit(launcher.launch(Store(sys.argv[1]), workers=int(sys.argv[2]), flags=flags))
"""


def launcher(store: Store, workers: int) -> subprocess.Popen:
  root = Path(__file__).resolve().parents[2]
  command = [sys.executable, "-c", LAUNCH, str(store.root), str(workers)]
  return subprocess.Popen(
    command, env=os.environ | {"PYTHONPATH": str(root)}, stdout=subprocess.DEVNULL
  )


def children(process: subprocess.Popen) -> list[int]:
  path = Path(f"/proc/{process.pid}/task/{process.pid}/children")
  return [int(pid) for pid in path.read_text().split()]


def kill_workers(process, generator: random.Random, *, most: int, pause: float) -> int:
  """Kills one after another at random times, `pause` seconds apart at most; how many."""
  killed = 0
  while process.poll() is None and killed < most:
    time.sleep(generator.uniform(0.1, pause))
    for pid in generator.sample(found := children(process), min(1, len(found))):
      os.kill(pid, signal.SIGKILL)
      killed += 1
  return killed


def values(store: Store) -> dict[str, tuple]:
  return {
    address: (state.name, state.result and state.result["value"])
    for address, state in index.states(store).items()
  }


@pytest.fixture
def arms():
  return {name: {"loss": 3.0 + i / 10, "keep": 10} for i, name in enumerate("abcd")}


def test_killed_workers_change_no_number_and_finish_no_run_twice(tmp_path, arms):
  calm = branched(planted(tmp_path / "calm", arms, seeds=6), "d", step=10)
  assert launcher(calm, 4).wait(timeout=120) == 0
  slow = {name: how | {"seconds": 0.03} for name, how in arms.items()}
  store = branched(planted(tmp_path / "killed", slow, seeds=6), "d", step=10)
  process = launcher(store, 4)
  killed = kill_workers(process, random.Random(0), most=10, pause=0.4)
  assert process.wait(timeout=120) == 0
  assert killed >= 5
  assert values(store) == values(calm)
  assert len(set(completed(store))) == len(completed(store))
  numbers = [s.attempts for s in index.states(store).values()]
  assert max(numbers) > 1, "no kill hit a running cell: the test tests nothing"


def test_two_launchers_share_the_work(tmp_path, arms):
  store = planted(tmp_path, arms, seeds=3)
  both = [launcher(store, 2), launcher(store, 2)]
  assert [process.wait(timeout=60) for process in both] == [0, 0]
  assert sorted(completed(store)) == sorted(c["address"] for c in store.plan["cells"])


def test_a_stopped_launcher_saves_and_the_next_goes_on(tmp_path):
  store = planted(tmp_path, {"a": {"loss": 3.0, "seconds": 0.1}}, seeds=2)
  process = launcher(store, 2)
  runs = [store.folder(cell) / "metrics.jsonl" for cell in store.plan["cells"]]
  while not all(path.exists() and path.stat().st_size for path in runs):
    time.sleep(0.05)
  process.send_signal(signal.SIGTERM)
  assert process.wait(timeout=20) == 128 + signal.SIGTERM
  assert {s.name for s in store.states().values()} == {"queued"}
  assert launcher(store, 2).wait(timeout=20) == 0
  steps = [line["step"] for line in map(eval, runs[0].read_text().splitlines()[:-1])]
  assert steps == sorted(set(steps)), "a run that was asked to stop lost no step"


def test_a_failing_cell_does_not_stop_the_others(tmp_path, capsys):
  arms = {"good": {"loss": 3.0}, "bad": {"loss": 3.0, "fail": True}}
  store = planted(tmp_path, arms, seeds=2)
  assert launcher(store, 2).wait(timeout=30) == 0
  states = index.states(store)
  found = [states[cell["address"]] for cell in store.plan["cells"]]
  assert [s.name for s in found] == ["done", "failed", "done", "failed"]
  assert found[1].reason == "error: the arm cannot be built"
  assert found[1].attempts == 1
  assert main.main(["study", "status", f"--study_dir={tmp_path}"]) == 0
  assert "the arm cannot be built" in capsys.readouterr().out


def test_failed_cells_are_tried_again_when_forgiven(tmp_path):
  store = planted(tmp_path, {"a": {"loss": 3.0, "fail": True}}, seeds=2)
  launcher(store, 1).wait(timeout=30)
  assert store.forgive() == 2
  (tmp_path / "configs" / "a.gin").write_text('{"loss": 3.0}')
  launcher(store, 1).wait(timeout=30)
  assert {s.name for s in store.states().values()} == {"done"}


def test_a_diverged_run_is_an_outcome_and_is_counted(tmp_path):
  arms = {"a": {"loss": 3.0}, "b": {"loss": 2.0, "diverge": True}}
  store = planted(tmp_path, arms, seeds=3)
  launcher(store, 2).wait(timeout=30)
  [table] = compare.tables(store, index.states(store), metric=None)
  assert [row["diverged"] for row in table["rows"]] == [0, 3]
  assert table["rows"][1]["verdict"] == "too few runs"


def test_a_killed_run_is_tried_three_times(tmp_path):
  store = planted(tmp_path, {"a": {"loss": 3.0, "seconds": 0.5}}, seeds=1)
  [cell] = store.plan["cells"]
  folder = store.folder(cell)
  for number in (1, 2, 3):
    assert store.state(cell, now=time.time()).name == "queued"
    claim = claims.take(folder, now=time.time())
    assert claim.number == number
    claim.end({"class": "killed", "reason": "killed by SIGKILL"})
  state = store.state(cell, now=time.time())
  assert (state.name, state.reason) == ("failed", "killed by SIGKILL, 3 times")


def test_the_index_can_be_deleted(tmp_path, arms):
  store = planted(tmp_path, arms, seeds=2)
  launcher(store, 2).wait(timeout=30)
  before = index.states(store)
  (tmp_path / index.FILE).unlink()
  assert index.states(store) == before == store.states()

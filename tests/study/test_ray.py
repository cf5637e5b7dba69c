"""Ray: a real cluster on this machine, where Ray is installed, runs the workers."""

import importlib.util
import os
import signal
import subprocess
import sys
import time

import pytest
from planted_study import completed, planted

from t5x_like.study import ray_tasks

PROGRAM = """
import sys
from t5x_like.study import ray_tasks
from t5x_like.study.store import Store
sys.exit(ray_tasks.launch(
  Store(sys.argv[1]), workers=2, options={"num_cpus": 1}, flags=("--heartbeat=1",)))
"""


@pytest.fixture(scope="module")
def cluster():
  """The environment of processes that join a cluster of two cores, started once."""
  if importlib.util.find_spec("ray") is None:
    pytest.skip("ray is not installed: pip install 't5x_like[ray]'")
  patch = pytest.MonkeyPatch()
  patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
  import ray

  found = ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
  yield os.environ | {"RAY_ADDRESS": found.address_info["address"]}
  ray.shutdown()
  patch.undo()


def test_tasks_save_when_they_are_stopped_and_others_finish(tmp_path, cluster, root):
  store = planted(tmp_path, {"a": {"loss": 3.0, "seconds": 0.5}}, seeds=2)
  command = [sys.executable, "-c", PROGRAM, str(store.root)]
  environment = cluster | {"PYTHONPATH": str(root)}
  process = subprocess.Popen(command, env=environment)
  runs = [store.folder(cell) / "metrics.jsonl" for cell in store.plan["cells"]]
  while not all(path.exists() and path.stat().st_size for path in runs):
    assert process.poll() is None
    time.sleep(0.05)
  process.send_signal(signal.SIGTERM)
  assert process.wait(timeout=60) == 128 + signal.SIGTERM
  assert {state.name for state in store.states().values()} == {"queued"}
  assert not (tmp_path / "completed.txt").exists()
  options = {"num_cpus": 1}
  assert ray_tasks.launch(store, workers=2, options=options) == 0
  assert {state.name for state in store.states().values()} == {"done"}
  assert len(completed(store)) == 2


def test_without_ray_the_message_says_how_to_get_it(tmp_path, monkeypatch):
  monkeypatch.setitem(sys.modules, "ray", None)
  store = planted(tmp_path, {"a": {"loss": 3.0}}, seeds=1)
  with pytest.raises(ValueError, match=r"pip install 't5x_like\[ray\]'"):
    ray_tasks.launch(store, workers=1, options={})

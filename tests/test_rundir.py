"""One process writes to a run directory, and only to go on with the same run."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from t5x_like import rundir
from t5x_like.rundir import RunDirectory, RunError, differences

IDENTITY = {
  "seed": 0,
  "optimizer": {"type": "AdamW", "learning_rate": {"peak": 0.001}},
  "lengths": [512, 128],
}


def test_a_second_starter_is_refused_in_one_line(tmp_path):
  with RunDirectory(tmp_path):
    with pytest.raises(RunError) as caught:
      RunDirectory(tmp_path).__enter__()
  assert "\n" not in str(caught.value)
  assert f"in use by process {os.getpid()} on " in str(caught.value)


def test_the_lease_is_free_after_a_normal_end(tmp_path):
  for _ in range(2):
    with RunDirectory(tmp_path):
      assert json.loads((tmp_path / "lease.json").read_text())["pid"] == os.getpid()
    assert (tmp_path / "lease.json").read_text() == ""


def test_the_lease_of_a_killed_process_is_free_though_its_child_lives(tmp_path):
  code = """
import os, sys, time
from t5x_like.rundir import RunDirectory
with RunDirectory(sys.argv[1]):
  ready, tell = os.pipe()
  child = os.fork()
  if child == 0:
    os.write(tell, b"x")  # what is done after a fork has been done
    time.sleep(30)
    os._exit(0)
  os.read(ready, 1)
  print(child, flush=True)
  time.sleep(30)
"""
  holder = subprocess.Popen(
    [sys.executable, "-c", code, str(tmp_path)],
    stdout=subprocess.PIPE,
    text=True,
    cwd=Path(__file__).parents[1],
  )
  orphan = int(holder.stdout.readline())
  try:
    with pytest.raises(RunError, match=f"process {holder.pid} on"):
      RunDirectory(tmp_path).__enter__()
    holder.kill()
    holder.wait()
    with RunDirectory(tmp_path):
      os.kill(orphan, 0)  # still alive
  finally:
    holder.kill()
    os.kill(orphan, signal.SIGKILL)
    holder.stdout.close()


def test_other_processes_of_the_same_run_need_no_lease(tmp_path):
  with RunDirectory(tmp_path) as first, RunDirectory(tmp_path, primary=False) as other:
    first.check_identity(IDENTITY)
    other.check_identity(IDENTITY)
    other.write_config("not written")
    assert not (tmp_path / "config.gin").exists()


def test_the_same_identity_goes_on(tmp_path):
  for _ in range(2):
    with RunDirectory(tmp_path) as directory:
      directory.check_identity(IDENTITY)


def test_tuples_and_lists_are_the_same_identity(tmp_path):
  with RunDirectory(tmp_path) as directory:
    directory.check_identity(IDENTITY | {"lengths": (512, 128)})
    directory.check_identity(IDENTITY)


def test_another_identity_is_refused_with_the_difference_and_the_way_out(tmp_path):
  other = IDENTITY | {
    "optimizer": {"type": "AdamW", "learning_rate": {"peak": 0.002}},
    "seed": 1,
  }
  with RunDirectory(tmp_path) as directory:
    directory.check_identity(IDENTITY)
    with pytest.raises(RunError) as caught:
      directory.check_identity(other)
  message = str(caught.value)
  assert "optimizer.learning_rate.peak: saved 0.001, now 0.002" in message
  assert "seed: saved 0, now 1" in message
  assert "MODEL_DIR" in message and "number of steps" in message
  assert "\n" not in message


def test_differences_name_what_was_added_and_removed():
  old = {"a": {"b": 1, "gone": None}, "rows": [1, 2]}
  new = {"a": {"b": 1, "new": "x"}, "rows": [1, 3, 4]}
  assert differences(old, new) == [
    "a.gone: saved None, now absent",
    "rows[1]: saved 2, now 3",
    "a.new: not saved, now 'x'",
    "rows[2]: not saved, now 4",
  ]


def test_floats_keep_every_digit_in_an_identity():
  rate = 0.1 + 0.2
  assert differences({"rate": rate}, json.loads(json.dumps({"rate": rate}))) == []


def test_checkpoints_without_an_identity_are_not_taken_over(tmp_path):
  (tmp_path / "checkpoints" / "100").mkdir(parents=True)
  with RunDirectory(tmp_path) as directory:
    with pytest.raises(RunError, match="no identity.json"):
      directory.check_identity(IDENTITY)


def test_a_place_that_cannot_be_a_directory_is_named(tmp_path):
  (tmp_path / "file").write_text("")
  with pytest.raises(RunError, match="MODEL_DIR=.*/file cannot be used: "):
    RunDirectory(tmp_path / "file").__enter__()


def test_a_summary_is_replaced_in_one_piece(tmp_path, monkeypatch):
  with RunDirectory(tmp_path) as directory:
    assert directory.summary() is None
    directory.write_summary({"step": 1})

    def crash(*_):
      raise KeyboardInterrupt

    monkeypatch.setattr(rundir.os, "replace", crash)
    with pytest.raises(KeyboardInterrupt):
      directory.write_summary({"step": 2})
    assert directory.summary() == {"step": 1}

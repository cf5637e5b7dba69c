"""Real processes: a run that was stopped, in any way, ends bit by bit like one that was
not. Two cores and a tiny model: what takes time is starting Python and compiling."""

import json
import os
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

from t5x_like import config
from t5x_like.checkpoint import Checkpointer
from t5x_like.engine import Engine

STEPS = 40
FLAGS = [
  "--gin_file=models/t5_1_1/tiny.gin",
  "--gin_file=runs/pretrain.gin",
  "--gin.MIXTURE_OR_TASK_NAME=text_files",
  "--gin.TASK_FEATURE_LENGTHS={'inputs': 32, 'targets': 16}",
  "--gin.VOCABULARY=@vocab.Bytes()",
  "--gin.vocab.Bytes.extra_ids=100",
  "--gin.BATCH_SIZE=4",
  "--gin.EVAL_STEPS=0",
  "--gin.LOG_PERIOD=1",
  "--gin.CHECKPOINT_PERIOD=5",
  "--gin.VALIDATION_FRACTION=0.1",
  f"--gin.TRAIN_STEPS={STEPS}",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  path = tmp_path_factory.mktemp("resume")
  random = np.random.default_rng(0)
  words = "stop and go on as if nothing had been in between at all".split()
  lines = [" ".join(random.choice(words, 30)) for _ in range(200)]
  (path / "text.txt").write_text("\n".join(lines))
  return path


def flags(folder, name):
  return [
    *FLAGS,
    f"--gin.TEXT_FILES={folder / 'text.txt'}",
    f"--gin.MODEL_DIR={folder / name}",
    f"--data_dir={folder / 'data'}",
  ]


def start(folder, name, root, *more):
  env = os.environ | {
    "PYTHONPATH": str(root),
    "JAX_PLATFORMS": "cpu",
    "JAX_COMPILATION_CACHE_DIR": str(root / ".cache" / "jax-tests"),
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.1",
  }
  command = [
    sys.executable,
    "-m",
    "t5x_like.main",
    "train",
    *flags(folder, name),
    *more,
  ]
  return subprocess.Popen(
    command, env=env, cwd=folder, stderr=subprocess.PIPE, text=True
  )


def finish(process):
  _, errors = process.communicate(timeout=300)
  return process.returncode, errors


def wait_for(path, process, lines):
  """Until the ledger has this many lines."""
  while process.poll() is None:
    if path.exists() and len(path.read_text().splitlines()) >= lines:
      return
    time.sleep(0.005)
  raise AssertionError(process.stderr.read())


def final(folder, name):
  """Every leaf of the last checkpoint, and the position in the data."""
  arguments = [word.split("=", 1)[1] for word in flags(folder, name)[:2]]
  bindings = [
    word.removeprefix("--gin.").replace("=", " = ", 1)
    for word in flags(folder, name)[2:-1]
  ]
  run = config.parse(arguments, bindings, []).build()
  abstract = Engine(run).abstract_state()
  checkpoints = Checkpointer(folder / name / "checkpoints")
  state, data, _ = checkpoints.restore(abstract, STEPS)
  return jax.device_get(state), data


@pytest.fixture(scope="module")
def undisturbed(folder, root):
  status, errors = finish(start(folder, "whole", root))
  assert status == 0, errors
  return final(folder, "whole")


@pytest.mark.parametrize(
  ("name", "number", "status"),
  [
    ("terminated", signal.SIGTERM, 143),
    ("interrupted", signal.SIGINT, 130),
    ("killed", signal.SIGKILL, -9),
  ],
)
def test_a_stopped_run_ends_like_one_that_was_not(
  folder, root, undisturbed, name, number, status
):
  process = start(folder, name, root)
  wait_for(folder / name / "metrics.jsonl", process, lines=8)
  saved = folder / name / "checkpoints"
  while number == signal.SIGKILL and not list(saved.glob("[0-9]*")):
    assert process.poll() is None  # killed with a step on disk, others under way
    time.sleep(0.005)
  process.send_signal(number)
  stopped, errors = finish(process)
  assert stopped == status, errors
  if number != signal.SIGKILL:
    assert "is saved in" in errors and "Traceback" not in errors
  again, errors = finish(start(folder, name, root))
  assert again == 0, errors
  assert "continuing from step" in errors
  state, data = final(folder, name)
  whole, whole_data = undisturbed
  jax.tree.map(np.testing.assert_array_equal, state, whole)
  assert data == whole_data
  ledger = (folder / name / "metrics.jsonl").read_text().splitlines()
  steps = [json.loads(line)["step"] for line in ledger]
  assert steps == list(range(1, STEPS + 1))  # each step once, however it was reached


def test_a_paused_run_goes_on_as_if_nothing_had_been(folder, root, undisturbed):
  pause = "--gin.run.Run.pause=12"
  for _ in range(2):  # the second has nothing to do
    status, errors = finish(start(folder, "paused", root, pause))
    assert status == 75, errors
    assert "stopped by run.Run.pause=12: step 12 is saved" in errors
  ledger = (folder / "paused" / "metrics.jsonl").read_text().splitlines()
  assert json.loads(ledger[-1])["step"] == 12
  status, errors = finish(start(folder, "paused", root))
  assert status == 0, errors
  state, data = final(folder, "paused")
  jax.tree.map(np.testing.assert_array_equal, state, undisturbed[0])
  assert data == undisturbed[1]


def test_a_complete_run_says_so_and_what_can_be_done_next(folder, root, undisturbed):
  status, errors = finish(start(folder, "whole", root))
  assert status == 0
  assert "is complete: 40 steps" in errors and " infer --model_dir=" in errors


def test_another_run_in_the_same_directory_is_refused_with_the_difference(
  folder, root, undisturbed
):
  process = subprocess.run(
    [
      sys.executable,
      "-m",
      "t5x_like.main",
      "train",
      *flags(folder, "whole"),
      "--gin.RANDOM_SEED=7",
    ],
    env=os.environ | {"PYTHONPATH": str(root), "JAX_PLATFORMS": "cpu"},
    capture_output=True,
    text=True,
    check=False,
  )
  assert process.returncode == 2
  assert "seed: saved 0, now 7" in process.stderr
  assert "Traceback" not in process.stderr

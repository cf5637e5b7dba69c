"""From a gin file to a table, with the real trainer and the smallest model."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from child import QUICK

STUDY = """\
# Two learning rates.
from __gin__ import dynamic_registration
from t5x_like.study import study

study.Study:
  name = 'rates'
  base = ['base.gin']
  arms = [@low/study.Arm(), @high/study.Arm()]
  seeds = @study.Seeds()
study.Seeds.values = [0, 1]
low/study.Arm.name = 'low'
high/study.Arm:
  name = 'high'
  bindings = ['optim.AdamW.learning_rate = 1e-2']
"""
BASE = """\
# The smallest run.
from __gin__ import dynamic_registration
from t5x_like import optim
from t5x_like import run
from t5x_like.data import vocab

include 'gin_configs/models/llama/tiny.gin'
include 'gin_configs/runs/pretrain.gin'
MIXTURE_OR_TASK_NAME = 'text_files_causal_lm'
TASK_FEATURE_LENGTHS = {'targets': 16}
VOCABULARY = @vocab.Bytes()
BATCH_SIZE = 4
TRAIN_STEPS = 4
EVAL_STEPS = 2
LOG_PERIOD = 1
run.Evaluation.samples = 0
VALIDATION_FRACTION = 0.2
OPTIMIZER = @optim.AdamW()
optim.AdamW.learning_rate = 1e-4
"""


@pytest.fixture
def folder(tmp_path):
  random = np.random.default_rng(0)
  words = "two of them are one if they know of each other".split()
  lines = [" ".join(random.choice(words, 30)) for _ in range(100)]
  (tmp_path / "text.txt").write_text("\n".join(lines))
  (tmp_path / "study.gin").write_text(STUDY)
  (tmp_path / "base.gin").write_text(BASE)
  return tmp_path


@pytest.fixture
def frozen(folder, root):
  """A copy of the code: a study's cells are those of one version of it, and somebody may
  edit the other while this test runs."""
  left_out = shutil.ignore_patterns("__pycache__")
  for name in ("models", "partitioning", "t5x_like", "gin_configs"):
    shutil.copytree(root / name, folder / "code" / name, ignore=left_out)
  return folder / "code"


def study(folder, frozen, root, verb, *flags):
  command = [sys.executable, "-m", "t5x_like.main", "study", verb, *flags]
  env = os.environ | {
    "PYTHONPATH": str(frozen),
    "JAX_PLATFORMS": "cpu",
    "XLA_FLAGS": QUICK,
    "JAX_COMPILATION_CACHE_DIR": str(root / ".cache" / "jax-tests"),
  }
  done = subprocess.run(command, env=env, cwd=folder, capture_output=True, text=True)
  assert done.returncode == 0, done.stdout + done.stderr
  return done.stdout


def test_a_study_runs_once_and_gives_a_table(folder, frozen, root):
  flags = (
    f"--gin_file={folder / 'study.gin'}",
    f"--gin.TEXT_FILES={folder / 'text.txt'}",
    f"--data_dir={folder / 'data'}",
    "--workers=2",
  )
  first = study(folder, frozen, root, "run", *flags)
  assert first.count("start ") == 4 and "rates: 4 done" in first
  assert "start " not in study(folder, frozen, root, "run", *flags)
  found = study(folder, frozen, root, "compare", "--study_dir=runs/rates", "--json")
  [table] = json.loads(found)["tables"]
  low, high = table["rows"]
  assert high["mean"] < low["mean"] < np.log(2048) + 0.1
  runs = sorted((folder / "runs" / "rates" / "runs").glob("*/*"))
  assert len(runs) == 4 and all((run / "config.gin").exists() for run in runs)

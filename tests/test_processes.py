"""Real processes train as one run: two and four have the losses of one, and write one
checkpoint, which one process can go on from. The two are started by the batch file that
`t5x_like launch` writes, through a stand-in for srun."""

import json
import os
import random
import socket
import subprocess
import sys

import numpy as np
import pytest
from child import QUICK

from partitioning import preflight
from t5x_like import main

FLAGS = [
  "--gin_file=models/llama/tiny.gin",
  "--gin_file=runs/pretrain.gin",
  "--gin.MIXTURE_OR_TASK_NAME=text_files_causal_lm",
  "--gin.TASK_FEATURE_LENGTHS={'targets': 32}",
  # Adafactor, the default, takes as long to compile as the model.
  "--gin.OPTIMIZER=@optim.AdamW()",
  "--gin.optim.AdamW.learning_rate=@schedules.Constant()",
  "--gin.schedules.Constant.value=0.001",
  "--gin.VOCABULARY=@vocab.Bytes()",
  "--gin.vocab.Bytes.extra_ids=100",
  "--gin.BATCH_SIZE=4",
  "--gin.EVAL_STEPS=0",
  "--gin.LOG_PERIOD=1",
  "--gin.VALIDATION_FRACTION=0.1",
  "--gin.PARTITIONING_RULES=fsdp",
]
# As srun: the tasks of one node, with what Slurm tells each of them.
SRUN = """\
#!/bin/bash
while [[ "$1" == --* ]]; do shift; done
export SLURM_STEP_NODELIST=localhost SLURM_STEP_NUM_NODES=1 SLURM_NODEID=0
export SLURM_NTASKS=2 SLURM_STEP_TASKS_PER_NODE=2
SLURM_PROCID=1 SLURM_LOCALID=1 "$@" &
SLURM_PROCID=0 SLURM_LOCALID=0 "$@"
status=$?
wait $! && exit $status
"""


def train(folder, name, *flags):
  """The `train` verb with these flags."""
  return [
    *("train", *FLAGS),
    f"--gin.TEXT_FILES={folder / 'text.txt'}",
    f"--gin.MODEL_DIR={folder / name}",
    f"--data_dir={folder / 'data'}",
    *flags,
  ]


def start(command, root, **variables):
  """A process of its own."""
  env = os.environ | {
    "PYTHONPATH": str(root),
    "JAX_PLATFORMS": "cpu",
    "XLA_FLAGS": QUICK,
    "JAX_COMPILATION_CACHE_DIR": str(root / ".cache" / "jax-tests"),
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.1",
  }
  pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
  return subprocess.Popen(command, env=env | variables, cwd=root, **pipes)


def start_here(words, root):
  """The program with these words."""
  return start([sys.executable, "-m", "t5x_like.main", *words], root)


def finish(*processes):
  try:
    outputs = [process.communicate(timeout=240)[0] for process in processes]
  finally:
    for process in processes:
      process.kill()
  for process, output in zip(processes, outputs, strict=True):
    assert process.returncode == 0, output[-3000:]
  return outputs


def losses(folder, name):
  lines = (folder / name / "metrics.jsonl").read_text().splitlines()
  return [json.loads(line)["loss"] for line in lines]


def free_port(ports=(0,)):
  """One that nobody listens at."""
  for port in ports:
    with socket.socket() as free:
      try:
        free.bind(("localhost", port))
        return free.getsockname()[1]
      except OSError:
        continue


@pytest.fixture(scope="module")
def folder(tmp_path_factory, root):
  path = tmp_path_factory.mktemp("processes")
  random = np.random.default_rng(0)
  words = "two of them are one if they know of each other".split()
  lines = [" ".join(random.choice(words, 30)) for _ in range(200)]
  (path / "text.txt").write_text("\n".join(lines))
  finish(start_here(train(path, "one", "--gin.TRAIN_STEPS=6"), root))
  return path


@pytest.fixture(scope="module")
def two(folder, root):
  """What the batch file of two tasks prints."""
  job, bin = folder / "two.sbatch", folder / "bin"
  mesh = ["--gin.mesh.Mesh.data=1", "--gin.mesh.Mesh.fsdp=2"]
  words = ["launch", "--engine=slurm", "--tasks_per_node=2", f"--out={job}"]
  words += [f"--python={sys.executable}", f"--directory={root}", "--"]
  assert main.main([*words, *train(folder, "two", "--gin.TRAIN_STEPS=4", *mesh)]) == 0
  bin.mkdir()
  (bin / "srun").write_text(SRUN)
  (bin / "srun").chmod(0o755)
  # JAX meets at this port of a job's first node.
  ports = [61_440 + random.randrange(4096) for _ in range(100)]
  number = str(free_port(ports) - 61_440)
  search = f"{bin}{os.pathsep}{os.environ['PATH']}"
  (output,) = finish(start(["bash", str(job)], root, SLURM_JOB_ID=number, PATH=search))
  return output


def test_two_processes_have_the_losses_of_one(folder, two):
  assert "2 processes x 1 CPU devices; preflight all-reduce " in two
  one, found = losses(folder, "one"), losses(folder, "two")[:4]
  # Sums of two halves: float32 in another order, amplified by four updates.
  np.testing.assert_allclose(one[:4], found, atol=1e-4)


def test_one_process_goes_on_from_the_checkpoint_of_two(folder, two, root):
  words = train(folder, "two", "--gin.TRAIN_STEPS=6")
  (output,) = finish(start_here(words, root))
  assert "continuing from step 4" in output
  np.testing.assert_allclose(losses(folder, "one"), losses(folder, "two"), atol=1e-4)


@pytest.mark.parametrize(
  ("rules", "mesh", "flags"),
  [
    ("fsdp", {"data": 2, "fsdp": 2}, ()),
    # Rows that two processes share, and rows of one process that are not neighbours.
    ("fsdp_tensor", {"data": 1, "fsdp": 2, "tensor": 2}, ()),
    ("pipeline_fsdp", {"data": 1, "pipeline": 2, "fsdp": 2}, ()),
    (
      "pipeline",
      {"data": 2, "pipeline": 2},
      ("--gin.execution.Execution.pipeline_schedule=1f1b",),
    ),
    ("context", {"data": 2, "context": 2}, ()),
  ],
)
def test_four_processes_have_the_losses_of_one(folder, root, rules, mesh, flags):
  words = train(
    folder,
    rules,
    "--gin.TRAIN_STEPS=2",
    f"--gin.PARTITIONING_RULES={rules}",
    *flags,
    *(f"--gin.mesh.Mesh.{axis}={size}" for axis, size in mesh.items()),
    f"--coordinator_address=localhost:{free_port()}",
    "--process_count=4",
  )
  four = [start_here([*words, f"--process_index={i}"], root) for i in range(4)]
  finish(*four)
  # Sums of four quarters, as above.
  one, found = losses(folder, "one")[:2], losses(folder, rules)
  np.testing.assert_allclose(one, found, atol=1e-4)


def test_a_process_that_stays_alone_ends_in_time(folder, root):
  words = train(
    folder,
    "alone",
    "--gin.TRAIN_STEPS=2",
    f"--coordinator_address=localhost:{free_port()}",
    *("--process_count=2", "--process_index=0", "--preflight_seconds=1"),
  )
  process = start_here(words, root)
  output, _ = process.communicate(timeout=240)
  assert process.returncode == preflight.UNANSWERED
  assert "error: after 1 s not all 2 processes have joined process 0" in output


def test_processes_that_are_started_differently_end_before_they_train(folder, root):
  words = train(
    folder,
    "different",
    *("--gin.mesh.Mesh.data=1", "--gin.mesh.Mesh.fsdp=2", "--process_count=2"),
    f"--coordinator_address=localhost:{free_port()}",
  )
  both = [
    start_here([*words, f"--process_index={i}", f"--gin.TRAIN_STEPS={2 + i}"], root)
    for i in range(2)
  ]
  for process in both:
    output, _ = process.communicate(timeout=240)
    assert process.returncode == 2
    assert "must have the same configuration; found " in output
    assert "Traceback" not in output
  assert not (folder / "different").exists()

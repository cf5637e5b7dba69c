"""Two real processes train as one run: the same losses as one process, one checkpoint,
which one process can go on from."""

import json
import os
import socket
import subprocess
import sys

import numpy as np
import pytest

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
  "--gin.VALIDATION_FRACTION=0.1",
  "--gin.PARTITIONING_RULES=fsdp",
]


def start(folder, name, root, *flags):
  """The `train` verb in a process of its own."""
  command = [
    *(sys.executable, "-m", "t5x_like.main", "train", *FLAGS),
    f"--gin.TEXT_FILES={folder / 'text.txt'}",
    f"--gin.MODEL_DIR={folder / name}",
    f"--data_dir={folder / 'data'}",
    *flags,
  ]
  env = os.environ | {
    "PYTHONPATH": str(root),
    "JAX_PLATFORMS": "cpu",
    # LLVM's optimizations take most of the compilation and are not what is tested.
    "XLA_FLAGS": "--xla_backend_optimization_level=0",
    "JAX_COMPILATION_CACHE_DIR": str(root / ".cache" / "jax-tests"),
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.1",
  }
  pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
  return subprocess.Popen(command, env=env, cwd=root, **pipes)


def finish(*processes):
  outputs = [process.communicate(timeout=240)[0] for process in processes]
  for process, output in zip(processes, outputs, strict=True):
    assert process.returncode == 0, output[-3000:]
  return outputs


def losses(folder, name):
  lines = (folder / name / "metrics.jsonl").read_text().splitlines()
  return [json.loads(line)["loss"] for line in lines]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, root):
  path = tmp_path_factory.mktemp("processes")
  random = np.random.default_rng(0)
  words = "two of them are one if they know of each other".split()
  lines = [" ".join(random.choice(words, 30)) for _ in range(200)]
  (path / "text.txt").write_text("\n".join(lines))
  finish(start(path, "one", root, "--gin.TRAIN_STEPS=6"))
  with socket.socket() as free:
    free.bind(("localhost", 0))
    address = f"localhost:{free.getsockname()[1]}"
  several = [
    "--gin.TRAIN_STEPS=4",
    "--gin.mesh.Mesh.data=1",
    "--gin.mesh.Mesh.fsdp=2",
    f"--coordinator_address={address}",
    "--process_count=2",
  ]
  both = [
    start(path, "two", root, *several, f"--process_index={index}") for index in range(2)
  ]
  finish(*both)
  return path


def test_two_processes_have_the_losses_of_one(folder):
  one, two = losses(folder, "one"), losses(folder, "two")[:4]
  # Sums of two halves: float32 in another order, amplified by four updates.
  np.testing.assert_allclose(one[:4], two, atol=1e-4)


def test_one_process_goes_on_from_the_checkpoint_of_two(folder, root):
  (output,) = finish(start(folder, "two", root, "--gin.TRAIN_STEPS=6"))
  assert "continuing from step 4" in output
  np.testing.assert_allclose(losses(folder, "one"), losses(folder, "two"), atol=1e-4)

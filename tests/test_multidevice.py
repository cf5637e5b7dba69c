"""Eight simulated devices give the losses of one. In a process of its own: the number of
devices is fixed when JAX starts."""

import json
import os
import subprocess
import sys

import pytest

PROGRAM = """
import json, sys
import jax
import numpy as np
from models.families import llama, t5
from partitioning.mesh import Mesh
from t5x_like import optim
from t5x_like.data import sources, task, vocab
from t5x_like.data.objectives.span_corruption import SpanCorruption
from t5x_like.engine import Engine
from t5x_like.run import Run

jax.config.update("jax_compilation_cache_dir", sys.argv[1])
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
random = np.random.default_rng(0)

def rows(side, length):
  return {
    f"{side}_input_tokens": random.integers(1, 96, (16, length), dtype=np.int32),
    f"{side}_segment_ids": np.ones((16, length), np.int32),
    f"{side}_positions": np.tile(np.arange(length, dtype=np.int32), (16, 1)),
  }

batch = rows("encoder", 16) | rows("decoder", 8) | {
  "decoder_target_tokens": random.integers(1, 96, (16, 8), dtype=np.int32),
  "decoder_loss_weights": np.ones((16, 8), np.float32),
}
TASK = task.Task(name="none", train=sources.Text("unused"), vocabulary=vocab.Bytes(),
                 objective=SpanCorruption())
MODELS = {
  "t5": t5.t5_1_1(dim=32, hidden=64, heads=4, head_dim=8, layers=2, vocab=96),
  "llama": llama.llama(dim=32, hidden=64, heads=4, kv_heads=4, layers=2, vocab=96),
}
MESHES = {
  "data": Mesh(), "fsdp": Mesh(data=1, fsdp=8), "tensor": Mesh(data=2, tensor=4),
  "fsdp_tensor": Mesh(data=1, fsdp=4, tensor=2),
}

def losses(model, mesh, rules, devices):
  run = Run(model=MODELS[model], model_dir="x", task=TASK,
            lengths={"inputs": 16, "targets": 8}, steps=10, batch=16, mesh=mesh,
            rules=rules, optimizer=optim.AdamW(learning_rate=3e-3, clip=1.0))
  engine = Engine(run)
  state = engine.initial_state()
  spread = len({d for leaf in jax.tree.leaves(state.params) for d in leaf.devices()})
  start = [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(state.params)]
  found = []
  for _ in range(10):
    state, metrics = engine.train_step(state, engine.put(batch))
    found.append(float(metrics["loss"]))
  split = sum(not leaf.sharding.is_fully_replicated for leaf in jax.tree.leaves(state))
  return {"losses": found, "start": hash(tuple(start)), "devices": spread, "split": split}

out = {}
if len(jax.devices()) == 1:
  for model in MODELS:
    out[f"{model}/one"] = losses(model, Mesh(), "data", 1)
else:
  for rules, mesh in MESHES.items():
    out[f"t5/{rules}"] = losses("t5", mesh, rules, 8)
  out["llama/fsdp_tensor"] = losses("llama", MESHES["fsdp_tensor"], "fsdp_tensor", 8)
print(json.dumps(out))
"""


CASES = [("t5", rules) for rules in ("data", "fsdp", "tensor", "fsdp_tensor")]
CASES += [("llama", "fsdp_tensor")]
# Compiling takes longer than running here.
FAST = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"


def run(devices, root):
  flags = f"--xla_force_host_platform_device_count={devices} {FAST}"
  env = os.environ | {
    "XLA_FLAGS": flags,
    "PYTHONPATH": str(root),
    "PYTHONHASHSEED": "0",
    "JAX_PLATFORMS": "cpu",
  }
  command = [sys.executable, "-c", PROGRAM, str(root / ".cache" / "jax-tests")]
  done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
  assert done.returncode == 0, done.stderr[-2000:]
  return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def results(root):
  return run(1, root) | run(8, root)


@pytest.mark.parametrize(("model", "rules"), CASES)
def test_losses_are_those_of_one_device(results, model, rules):
  one, many = results[f"{model}/one"], results[f"{model}/{rules}"]
  assert many["devices"] == 8
  # Sums in another order, amplified by ten updates; the issue asks for 1e-4.
  for a, b in zip(one["losses"], many["losses"], strict=True):
    assert abs(a - b) < 1e-4


@pytest.mark.parametrize(("model", "rules"), CASES)
def test_initial_parameters_are_identical_bit_by_bit(results, model, rules):
  assert results[f"{model}/{rules}"]["start"] == results[f"{model}/one"]["start"]


@pytest.mark.parametrize("rules", ["fsdp", "tensor", "fsdp_tensor"])
def test_state_is_really_split(results, rules):
  assert results[f"t5/{rules}"]["split"] > 20
  assert results["t5/data"]["split"] == 0

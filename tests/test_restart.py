"""A checkpoint knows no mesh: saved on eight simulated devices, continued on four and on
one. Each in a process of its own: the number of devices is fixed when JAX starts."""

import pytest
from child import printed

PROGRAM = """
import hashlib, json, sys
import jax
import numpy as np
from models.families import llama
from partitioning.mesh import Mesh
from t5x_like import optim
from t5x_like.checkpoint import Checkpointer
from t5x_like.data import layouts, sources, task, vocab
from t5x_like.data.objectives.causal_lm import CausalLM
from t5x_like.engine import Engine
from t5x_like.loss_scale import Dynamic
from t5x_like.rounding import Stochastic
from t5x_like.run import Run

random = np.random.default_rng(0)
batch = {
  "decoder_input_tokens": random.integers(1, 96, (8, 8), dtype=np.int32),
  "decoder_target_tokens": random.integers(1, 96, (8, 8), dtype=np.int32),
  "decoder_loss_weights": np.ones((8, 8), np.float32),
  "decoder_segment_ids": np.ones((8, 8), np.int32),
  "decoder_positions": np.tile(np.arange(8, dtype=np.int32), (8, 1)),
}
TASK = task.Task(name="none", train=sources.Text("unused"), vocabulary=vocab.Bytes(),
                 objective=CausalLM(), layout=layouts.CausalDecoder())
MODEL = llama.llama(dim=32, hidden=64, heads=4, kv_heads=4, layers=2, vocab=96)
MESHES = {"fsdp": Mesh(data=1, fsdp=8), "tensor": Mesh(data=2, tensor=2), "data": Mesh(),
          "pipeline_tensor": Mesh(data=2, pipeline=2, tensor=2)}

rules, folder = sys.argv[1:]
engine = Engine(Run(
  model=MODEL, model_dir="x", task=TASK, lengths={"targets": 8}, steps=10, batch=8,
  mesh=MESHES[rules], rules=rules, ema=0.9,
  loss_scale=Dynamic(initial=8.0, period=2),
  optimizer=optim.AdamW(learning_rate=3e-3, clip=1.0)))

def five(state):
  found = []
  for _ in range(5):
    state, metrics = engine.train_step(state, engine.put(batch))
    found += [float(metrics["loss"]), float(metrics["loss_scale"])]
  return state, found

first = engine.initial_state()
rounded = jax.jit(
  lambda params: Stochastic()(params, seed=0, step=3),
  out_shardings=engine.shardings.params,
)(first.params)
every = b"".join(np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(rounded))
if rules == "fsdp":
  state, _ = five(first)
  with Checkpointer(folder) as checkpoints:
    assert checkpoints.save(5, state, data={}, meta={})
else:
  state = Checkpointer(folder).restore(engine.abstract_state())[0]
found = five(state)[1], hashlib.sha256(every).hexdigest()
print(json.dumps(found))
"""
DEVICES = {"fsdp": 8, "tensor": 4, "data": 1, "pipeline_tensor": 8}


@pytest.fixture(scope="module")
def found(root, tmp_path_factory):
  folder = str(tmp_path_factory.mktemp("restart"))
  return {rules: run(root, rules, folder) for rules in DEVICES}


def run(root, rules, folder):
  return printed(root, PROGRAM, rules, folder, devices=DEVICES[rules])


@pytest.mark.parametrize("rules", ["tensor", "data", "pipeline_tensor"])
def test_a_run_goes_on_elsewhere_as_it_would_have(found, rules):
  # Losses and loss scales; sums in another order, amplified by five updates.
  assert found[rules][0] == pytest.approx(found["fsdp"][0], abs=1e-4)


def test_parameters_are_rounded_alike_on_any_mesh(found):
  assert len({digest for _, digest in found.values()}) == 1

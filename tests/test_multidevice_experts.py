"""Experts on several devices: four simulated ones, in one process of their own."""

import pytest
from child import printed

PROGRAM = """
import json, sys
import jax
import numpy as np
from models.components.moe import Capacity, MoE
from models.components.spec import replace, rewrite
from models.families.mixtral import mixtral
from partitioning.mesh import Mesh
from t5x_like import optim
from t5x_like.data import layouts, sources, task, vocab
from t5x_like.data.objectives.causal_lm import CausalLM
from t5x_like.engine import Engine
from t5x_like.run import Run

random = np.random.default_rng(0)
batch = {
  "decoder_input_tokens": random.integers(1, 96, (8, 16), dtype=np.int32),
  "decoder_target_tokens": random.integers(1, 96, (8, 16), dtype=np.int32),
  "decoder_loss_weights": np.ones((8, 16), np.float32),
  "decoder_segment_ids": np.ones((8, 16), np.int32),
  "decoder_positions": np.tile(np.arange(16, dtype=np.int32), (8, 1)),
}
TASK = task.Task(name="none", train=sources.Text("unused"), vocabulary=vocab.Bytes(),
                 objective=CausalLM(), layout=layouts.CausalDecoder())
DROPLESS = mixtral(dim=16, hidden=24, heads=4, layers=2, experts=4, vocab=96)

def roomy(node):
  return replace(node, capacity=Capacity()) if isinstance(node, MoE) else node

MODELS = {"dropless": DROPLESS, "slots": rewrite(DROPLESS, roomy)}
MESHES = {"data": Mesh(), "expert": Mesh(data=2, fsdp=2)}

def losses(model, rules):
  run = Run(model=model, model_dir="x", task=TASK, lengths={"targets": 16}, steps=3,
            batch=8, mesh=MESHES[rules], rules=rules,
            optimizer=optim.Adafactor(learning_rate=0.01, min_dim_size_to_factor=8))
  engine = Engine(run)
  state = engine.initial_state()
  found = []
  for _ in range(3):
    state, metrics = engine.train_step(state, engine.put(batch))
    found.append([float(metrics["loss"]), float(metrics["router_balance"])])
  kernel = state.params["decoder"]["blocks_0"]["ffn"]["experts"]["up"]["kernel"]
  return found, str(kernel.sharding.spec)

print(json.dumps({f"{name}/{rules}": losses(model, rules)
                  for name, model in MODELS.items() for rules in MESHES}))
"""


@pytest.fixture(scope="module")
def results(root):
  return printed(root, PROGRAM, devices=4)


@pytest.mark.parametrize("model", ["dropless", "slots"])
def test_experts_on_several_devices_give_the_same_losses(results, model):
  one, spread = results[f"{model}/data"], results[f"{model}/expert"]
  assert one[1] != spread[1]
  assert "fsdp" in spread[1]
  # Sums in another order, amplified by the updates.
  for a, b in zip(one[0], spread[0], strict=True):
    assert a == pytest.approx(b, abs=1e-4)

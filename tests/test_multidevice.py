"""Eight simulated devices give the losses of one. In a process of its own: the number of
devices is fixed when JAX starts."""

import pytest
from child import printed

PROGRAM = """
import hashlib, json, sys
import jax
import numpy as np
from models.components.execution import Execution
from models.components.spec import replace
from models.families import llama, t5
from models.families.mixtral import mixtral
from partitioning.mesh import Mesh
from t5x_like import optim
from t5x_like.data import layouts, sources, task, vocab
from t5x_like.data.objectives.causal_lm import CausalLM
from t5x_like.data.objectives.span_corruption import SpanCorruption
from t5x_like.engine import Engine
from t5x_like.loss_scale import Dynamic
from t5x_like.run import Run

random = np.random.default_rng(0)

def rows(side, length):
  # Two documents a row, the second half as long as the first.
  segments = np.where(np.arange(length) < length * 2 // 3, 1, 2).astype(np.int32)
  return {
    f"{side}_input_tokens": random.integers(1, 96, (16, length), dtype=np.int32),
    f"{side}_segment_ids": np.tile(segments, (16, 1)),
    f"{side}_positions": np.tile(np.arange(length, dtype=np.int32), (16, 1)),
  }

BATCH = rows("encoder", 16) | rows("decoder", 8) | {
  "decoder_target_tokens": random.integers(1, 96, (16, 8), dtype=np.int32),
  "decoder_loss_weights": np.ones((16, 8), np.float32),
}
TEXT = {"train": sources.Text("unused"), "vocabulary": vocab.Bytes()}
SPANS = task.Task(name="none", objective=SpanCorruption(), **TEXT)
CAUSAL = task.Task(
  name="none", objective=CausalLM(), layout=layouts.CausalDecoder(), **TEXT)
SIZES = {"dim": 32, "heads": 4, "layers": 4, "vocab": 96}
MODELS = {
  "t5": t5.t5_1_1(hidden=64, head_dim=8, **SIZES),
  "llama": llama.llama(hidden=64, kv_heads=4, **SIZES),
  "moe": mixtral(hidden=24, experts=4, **SIZES),
  "half": llama.llama(hidden=64, kv_heads=4, **SIZES),
  "odd": llama.llama(hidden=64, kv_heads=4, **SIZES),
  "dropout": replace(t5.t5_1_1(hidden=64, head_dim=8, **SIZES), dropout=0.1),
}
MESHES = {
  "data": Mesh(), "zero1": Mesh(), "zero2": Mesh(data=4, fsdp=2),
  "fsdp": Mesh(data=1, fsdp=8), "tensor": Mesh(data=2, tensor=4),
  "fsdp_tensor": Mesh(data=1, fsdp=4, tensor=2),
  "fsdp_tensor_sequence": Mesh(data=2, fsdp=2, tensor=2),
  "context": Mesh(data=2, context=4), "fsdp_context": Mesh(data=1, fsdp=4, context=2),
  "all_to_all": Mesh(data=2, context=4),
  "pipeline": Mesh(data=2, pipeline=4),
  "pipeline_tensor": Mesh(data=2, pipeline=2, tensor=2),
  "interleaved": Mesh(data=2, pipeline=2, tensor=2),
  "1f1b": Mesh(data=2, pipeline=4),
  "1f1b_fsdp_tensor": Mesh(data=1, pipeline=2, fsdp=2, tensor=2),
  "1f1b_interleaved": Mesh(data=2, pipeline=2, tensor=2),
  "pipeline_fsdp_tensor": Mesh(data=1, pipeline=2, fsdp=2, tensor=2),
  "expert": Mesh(data=2, fsdp=4), "expert_tensor": Mesh(data=2, fsdp=2, tensor=2),
}

def split(tree):
  return sum(not leaf.sharding.is_fully_replicated for leaf in jax.tree.leaves(tree))

def placed(model, rules):
  # A balance loss is of the rows that are computed together.
  found = {"rules": rules, "microbatches": 2 if model == "moe" else 1}
  if rules == "all_to_all":
    found |= {"rules": "context", "execution": Execution(attention="all_to_all")}
  if rules.startswith("pipeline"):
    parts = 2 if model == "moe" else 4
    # With "full", also the stages are computed again.
    remat = "full" if model == "llama" else "none"
    execution = Execution(pipeline_microbatches=parts, remat=remat)
    found |= {"execution": execution, "microbatches": 1}
  if rules.startswith("1f1b"):
    found |= {"microbatches": 1} | alternating(model, rules)
  if rules.startswith("interleaved"):
    execution = Execution(
      pipeline_microbatches=2 if model == "moe" else 4, pipeline_repeats=2,
      remat="full" if model == "llama" else "minimal")
    found |= {"rules": "pipeline_tensor", "execution": execution, "microbatches": 1}
  return found

def alternating(model, rules):
  remat = {"llama": "full", "moe": "minimal"}.get(model, "none")
  execution = Execution(
    pipeline_schedule="1f1b", remat=remat,
    pipeline_microbatches=2 if model == "moe" else 4,
    pipeline_repeats=2 if "interleaved" in rules else None)
  rest = "_tensor" if "interleaved" in rules else rules.removeprefix("1f1b")
  return {"rules": "pipeline" + rest, "execution": execution}

def losses(model, mesh, rules):
  both = model in ("t5", "dropout")
  batch = {k: v for k, v in BATCH.items() if both or k.startswith("decoder")}
  more = placed(model, rules)
  if model == "odd":
    batch = {k: v[:, :6] for k, v in batch.items()}
  if model == "half":
    # Gradients that float16 holds only if they are scaled before they reach the layers.
    batch = batch | {"decoder_loss_weights": 1e-6 * batch["decoder_loss_weights"]}
    execution = replace(more.get("execution", Execution()), compute_dtype="float16")
    more |= {"execution": execution, "loss_scale": Dynamic()}
  run = Run(model=MODELS[model], model_dir="x", task=SPANS if both else CAUSAL,
            lengths={"inputs": 16, "targets": 8} if both else {"targets": 8},
            steps=10, batch=16, mesh=mesh, **more,
            optimizer=optim.AdamW(learning_rate=3e-3, clip=1.0, weight_decay=0.1))
  engine = Engine(run)
  state = engine.initial_state()
  spread = len({d for leaf in jax.tree.leaves(state.params) for d in leaf.devices()})
  start = [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(state.params)]
  found = []
  for _ in range(10):
    state, metrics = engine.train_step(state, engine.put(batch))
    found.append(float(metrics["loss"]))
  if model == "odd":
    sums = engine.eval_step(state.params, engine.put(batch))
    found.append(float(sums["loss"] / sums["weight"]))
  kernels = engine.kernels({"encoder": 16, "decoder": 8})
  start = hashlib.sha256(b"".join(start)).hexdigest()
  return {"losses": found, "start": start, "devices": spread,
          "params": split(state.params), "state": split(state.opt_state),
          "kernels": sorted({name.split()[0] for name in kernels.values()})}

out = {}
for case in sys.argv[1:]:
  model, rules = case.split("/")
  one = rules == "one"
  out[case] = losses(model, Mesh() if one else MESHES[rules], "data" if one else rules)
print(json.dumps(out))
"""

PRESETS = (
  "data",
  "zero1",
  "zero2",
  "fsdp",
  "tensor",
  "fsdp_tensor",
  "fsdp_tensor_sequence",
  "context",
  "fsdp_context",
  "all_to_all",
  "pipeline",
  "pipeline_tensor",
  "pipeline_fsdp_tensor",
)
CASES = (
  *((model, rules) for model in ("t5", "llama", "moe") for rules in PRESETS),
  ("moe", "expert"),
  ("moe", "expert_tensor"),
  ("dropout", "pipeline"),
  ("t5", "interleaved"),
  ("llama", "interleaved"),
  ("moe", "interleaved"),
  ("dropout", "interleaved"),
  *((model, "1f1b") for model in ("t5", "llama", "moe", "dropout")),
  ("llama", "1f1b_fsdp_tensor"),
  ("half", "1f1b"),
  ("odd", "1f1b"),  # tokens that stages do not divide, and evaluation
  *((model, "1f1b_interleaved") for model in ("t5", "llama", "moe")),
)


def run(devices, root, cases):
  return printed(root, PROGRAM, *cases, devices=devices)


class Results(dict):
  """What a case gave; those of one model run together, when one is first asked for."""

  def __init__(self, root):
    self.root = root

  def __missing__(self, case):
    model = case.split("/")[0]
    many = [f"{name}/{rules}" for name, rules in CASES if name == model]
    self |= run(1, self.root, [f"{model}/one"]) | run(8, self.root, many)
    return self[case]


@pytest.fixture(scope="module")
def results(root):
  return Results(root)


@pytest.mark.parametrize(("model", "rules"), CASES)
def test_losses_are_those_of_one_device(results, model, rules):
  one, many = results[f"{model}/one"], results[f"{model}/{rules}"]
  assert many["devices"] == 8
  # Sums in another order, amplified by ten updates; the issue asks for 1e-4. float16 has
  # three digits, of losses that are small here; unscaled gradients are 2 % off.
  limit = 2e-3 * one["losses"][-1] if model == "half" else 1e-4
  for a, b in zip(one["losses"], many["losses"], strict=True):
    assert abs(a - b) < limit


@pytest.mark.parametrize(("model", "rules"), CASES)
def test_initial_parameters_are_identical_bit_by_bit(results, model, rules):
  assert results[f"{model}/{rules}"]["start"] == results[f"{model}/one"]["start"]


@pytest.mark.parametrize("rules", ["fsdp", "tensor", "fsdp_tensor"])
def test_state_is_really_split(results, rules):
  assert results[f"t5/{rules}"]["params"] > 10
  assert results[f"t5/{rules}"]["state"] > 20
  assert results["t5/data"]["state"] == 0


@pytest.mark.parametrize("case", ["t5/zero1", "llama/zero2", "moe/zero2"])
def test_zero_1_and_2_split_the_optimizers_state_alone(results, case):
  assert results[case]["params"] == 0
  assert results[case]["state"] > 10


@pytest.mark.parametrize("case", ["t5/context", "llama/fsdp_context", "moe/context"])
def test_rows_on_several_devices_attend_by_the_ring(results, case):
  """Encoder, decoder and cross-attention; T5 with its bias of distances."""
  assert results[case]["kernels"] == ["ring"]


def test_a_row_whose_heads_are_exchanged(results):
  assert results["llama/all_to_all"]["kernels"] == ["all_to_all"]

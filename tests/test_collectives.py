"""What each preset moves between devices, read from the compiled program.

In a process of its own: the number of devices is fixed when JAX starts. Bytes are those
on one device; ROWS x 16 tokens x 32 features of float32 are one activation.
"""

import pytest
from child import printed

PROGRAM = """
import json
from models.components.execution import Execution
from models.components.moe import Capacity, MoE
from models.components.spec import replace, rewrite
from models.families import llama
from models.families.mixtral import mixtral
from partitioning.mesh import Mesh
from t5x_like import optim
from t5x_like.data import layouts, sources, task, vocab
from t5x_like.data.objectives.causal_lm import CausalLM
from t5x_like.engine import Engine
from t5x_like.planner import program
from t5x_like.run import Run

TASK = task.Task(name="none", train=sources.Text("unused"), vocabulary=vocab.Bytes(),
                 objective=CausalLM(), layout=layouts.CausalDecoder())
MODEL = llama.llama(dim=32, hidden=64, heads=4, kv_heads=4, layers=2, vocab=96)
SLOTS = rewrite(
  mixtral(dim=32, hidden=24, heads=4, layers=2, experts=4, vocab=96),
  lambda n: replace(n, capacity=Capacity(training=1.25)) if isinstance(n, MoE) else n)
DEEPER = llama.llama(dim=32, hidden=64, heads=4, kv_heads=4, layers=4, vocab=96)
MESHES = {
  "pipeline": Mesh(data=4, pipeline=2), "interleaved": Mesh(data=4, pipeline=2),
  "1f1b": Mesh(data=4, pipeline=2),
  "data": Mesh(), "zero1": Mesh(), "zero2": Mesh(), "fsdp": Mesh(data=1, fsdp=8),
  "tensor": Mesh(data=2, tensor=4),
  "fsdp_tensor_sequence": Mesh(data=2, fsdp=2, tensor=2),
  "context": Mesh(data=2, context=4), "fsdp_context": Mesh(data=1, fsdp=4, context=2),
  "expert": Mesh(data=2, fsdp=4),
}

def run(rules):
  model = {"expert": SLOTS, "interleaved": DEEPER}.get(rules, MODEL)
  staged = rules in ("pipeline", "interleaved", "1f1b")
  repeats = 2 if rules == "interleaved" else None
  schedule = "1f1b" if rules == "1f1b" else "gpipe"
  return Run(model=model, model_dir="x", task=TASK, lengths={"targets": 16}, steps=1,
             batch=16, mesh=MESHES[rules],
             rules="pipeline" if rules in ("interleaved", "1f1b") else rules,
             execution=Execution(pipeline_microbatches=4 if staged else None,
                                 pipeline_repeats=repeats, pipeline_schedule=schedule,
                                 remat="minimal" if repeats else "none"),
             optimizer=optim.AdamW(learning_rate=1e-3, clip=1.0))

def moved(rules):
  found = program.compiled(run(rules)).moved
  return {f"{kind} {'+'.join(axes)}": size for (kind, axes), size in found.items()}

sizes = [declared.size for declared in Engine(run("data")).declared.values()]
print(json.dumps({rules: moved(rules) for rules in MESHES} | {"bytes": 4 * sum(sizes)}))
"""
LAYERS = 2
FEW = 2048  # norms' scales, numbers of the loss, ids of tokens
TABLE = 96 * 32 * 4


@pytest.fixture(scope="module")
def found(root):
  return printed(root, PROGRAM, devices=8)


def kinds(moved):
  return {name.split()[0] for name, size in moved.items() if size > FEW}


def test_copies_sum_their_gradients_and_nothing_else(found):
  assert set(found["data"]) == {"all-reduce data"}
  assert found["bytes"] <= found["data"]["all-reduce data"] <= found["bytes"] + FEW


def test_zero_1_sums_gradients_and_gathers_updated_parameters(found):
  moved = found["zero1"]
  assert set(moved) == {"all-reduce data", "reduce-scatter data", "all-gather data"}
  summed = moved["all-reduce data"] + moved["reduce-scatter data"]
  assert found["bytes"] <= summed <= found["bytes"] + FEW
  assert moved["all-gather data"] == found["bytes"]


@pytest.mark.parametrize("rules", ["zero2", "fsdp"])
def test_zero_2_and_3_sum_no_gradient_whole(found, rules):
  """The table's may come as vectors that are exchanged, before they are summed."""
  axis = "data" if rules == "zero2" else "fsdp"
  moved = found[rules]
  assert kinds(moved) <= {"reduce-scatter", "all-gather", "all-to-all"}
  scattered = moved[f"reduce-scatter {axis}"]
  assert found["bytes"] - TABLE <= scattered <= found["bytes"] + FEW


def test_zero_2_gathers_parameters_once_and_zero_3_at_most_twice(found):
  once, twice = found["zero2"]["all-gather data"], found["fsdp"]["all-gather fsdp"]
  assert found["bytes"] <= once <= found["bytes"] + FEW
  assert found["bytes"] < twice <= 2 * found["bytes"] + FEW


def test_tensors_are_summed_twice_a_layer_each_way(found):
  """Megatron's count (arXiv:1909.08053, section 3); beside the layers, what was read
  from the table, the head's input and statistics of the loss."""
  moved = found["tensor"]
  assert set(moved) == {"all-reduce tensor", "all-reduce data"}
  activation = 8 * 16 * 32 * 4
  layers = LAYERS * 4 * activation
  assert layers <= moved["all-reduce tensor"] <= layers + 2 * activation + FEW


def test_sequences_are_scattered_and_gathered_instead_of_summed(found):
  """arXiv:2205.05198, section 4.2.2; the table's gradient is summed."""
  moved = found["fsdp_tensor_sequence"]
  activation = 4 * 16 * 32 * 4
  assert moved["all-reduce tensor"] <= TABLE + FEW
  assert moved["reduce-scatter tensor"] >= LAYERS * 4 * activation
  assert moved["all-gather tensor"] >= LAYERS * 4 * activation


def test_a_ring_gathers_no_tokens(found):
  """Keys and values forward; the same and their gradients backward."""
  part = 8 * (16 // 4) * 32 * 4
  moved = found["context"]
  assert kinds(moved) == {"collective-permute", "all-reduce"}
  turns = LAYERS * 6 * part
  assert turns <= moved["collective-permute context"] <= turns + FEW
  assert "all-gather context" not in found["fsdp_context"]
  assert found["fsdp_context"]["collective-permute context"] > 0


def test_stages_pass_activations_and_gather_no_layer(found):
  """One microbatch a tick each way, with its segments, positions and the like. Outside
  of the layers, stages share rows: these are gathered where they enter and, for their
  gradient, where they leave."""
  moved = found["pipeline"]
  tokens = 1 * 16  # of a device's 4 rows in 4 microbatches
  ticks = 4 + 2 - 1
  passed = 2 * ticks * tokens * 32 * 4
  assert passed <= moved["collective-permute pipeline"] <= passed * 1.1
  activations = 4 * tokens * 32 * 4
  assert moved["all-gather pipeline"] <= 2 * activations + FEW
  assert moved["all-reduce pipeline"] <= activations + FEW
  assert moved["all-to-all pipeline"] <= 2 * activations
  assert not [
    name for name in moved if name.startswith("all-gather") and "data" in name
  ]


def test_stages_sum_the_gradients_of_their_layers_once(found):
  """However many microbatches: half of the layers' parameters on each device."""
  moved = found["pipeline"]
  outside = 2 * TABLE + 32 * 4
  layers = (found["bytes"] - outside) / 2
  assert layers <= moved["all-reduce data"] <= layers + FEW


def test_interleaved_stages_exchange_their_layers_once_each_way(found):
  """Beside one microbatch a tick each way: of two devices with two of four pieces, each
  sends one to the other, and its gradient comes back. No device gathers layers. What
  leaves is put in order once."""
  moved, stages = found["interleaved"], found["pipeline"]
  ticks = 4 * 2 + 2
  passed = 2 * ticks * 16 * 32 * 4
  layer = (found["bytes"] - 2 * TABLE - 32 * 4) / LAYERS
  exchanged = passed + 2 * layer + 4 * 16 * 32 * 4
  assert exchanged <= moved["collective-permute pipeline"] <= exchanged * 1.03
  assert (
    moved["all-reduce data"] == 2 * stages["all-reduce data"]
  )  # of twice the layers
  unlike = ("collective-permute pipeline", "all-reduce data")
  for name in set(moved) | set(stages):
    if name not in unlike:
      assert moved[name] == stages[name]


def test_stages_that_alternate_send_what_gpipes_do_and_the_loss(found):
  """One microbatch a tick each way. Beside the layers: tokens of a microbatch come
  together where it enters and are spread where its gradient leaves, in M + S - 1 ticks
  each; and all stages get the output of M for its loss, and give its gradient."""
  moved, stages = found["1f1b"], found["pipeline"]
  activation, ticks = 1 * 16 * 32 * 4, 4 + 2 - 1
  assert moved["collective-permute pipeline"] == 2 * ticks * activation
  assert moved["reduce-scatter pipeline"] == ticks * activation
  assert moved["all-gather pipeline"] <= (ticks + 2) * activation
  losses = 2 * 4 * activation
  assert losses + TABLE <= moved["all-reduce pipeline"] <= losses + TABLE + FEW
  # Gradients of layers and of the head are summed once, whatever the microbatches.
  summed = stages["all-reduce data"] + TABLE
  assert summed <= moved["all-reduce data"] <= summed + FEW
  assert not [name for name in moved if "gather" in name and "data" in name]


def test_tokens_travel_to_their_experts_and_back(found):
  """GShard (arXiv:2006.16668, section 3.2): two exchanges a layer each way, of slots for
  1.25 times the two choices of 16 tokens, for each of a device's two rows. Besides, the
  vectors read from the table."""
  moved = found["expert"]
  slots = 2 * (1.25 * 2 * 16) * 32 * 4
  layers = LAYERS * 4 * slots
  activation = 2 * 16 * 32 * 4
  assert layers <= moved["all-to-all fsdp"] <= layers + 4 * activation
  assert "all-gather data" not in moved

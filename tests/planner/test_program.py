"""Layers in a loop, beside the same written out one by one; and closed forms.

In a process of its own: the number of devices is fixed when JAX starts."""

import pytest
from child import printed

from models.components import param
from models.families import t5

PROGRAM = """
import dataclasses, json
from t5x_like.planner import program
from t5x_like import inspect
from t5x_like.engine import Engine
from models.families import llama, t5
from models.components.execution import Execution
from partitioning.mesh import Mesh
from t5x_like import optim
from t5x_like.data import layouts, sources, task, vocab
from t5x_like.data.objectives.causal_lm import CausalLM
from t5x_like.data.objectives.span_corruption import SpanCorruption
from t5x_like.run import Run

SIZES = dict(dim=32, hidden=64, heads=4, vocab=64)
CAUSAL = task.Task(name="none", train=sources.Text("unused"), vocabulary=vocab.Bytes(),
                   objective=CausalLM(), layout=layouts.CausalDecoder())
SPANS = task.Task(name="none", train=sources.Text("unused"), vocabulary=vocab.Bytes(),
                  objective=SpanCorruption())

def run(layers, rules, scan=True, **mesh):
  return Run(model=llama.llama(kv_heads=4, layers=layers, **SIZES), model_dir="x",
             task=CAUSAL, lengths={"targets": 32}, steps=1, batch=16, mesh=Mesh(**mesh),
             rules=rules, optimizer=optim.AdamW(learning_rate=1e-3),
             execution=Execution(remat="full", attention="einsum", scan=scan))

def shown(p):
  moved = {f"{kind} {'+'.join(axes)}": size for (kind, axes), size in p.moved.items()}
  return dict(flops=p.flops, moved=moved, state=p.state)

both = dict(data=1, fsdp=4, tensor=2)
out = {
  "loop": shown(program.compiled(run(6, "fsdp_tensor", **both))),
  "written out": shown(program.compiled(run(6, "fsdp_tensor", scan=False, **both))),
  "data": shown(program.compiled(run(2, "data", data=8))),
  "parameters": sum(d.size for d in Engine(run(2, "data", data=8)).declared.values()),
}
for case, scan in (("t5 loop", True), ("t5 written out", False)):
  out[case] = shown(program.compiled(dataclasses.replace(
    run(2, "data", scan, data=8), task=SPANS, lengths={"inputs": 32, "targets": 16},
    model=t5.t5_1_1(layers=5, decoder_layers=3, head_dim=8, **SIZES))))
print(json.dumps(out))
"""


@pytest.fixture(scope="module")
def found(root):
  return printed(root, PROGRAM, devices=8)


def test_a_loop_counts_as_often_as_it_turns(found):
  assert found["loop"] == found["written out"]


def test_loops_of_an_encoder_and_a_decoder_count_for_themselves(found):
  loop, out = found["t5 loop"], found["t5 written out"]
  assert loop["flops"] == out["flops"] and loop["state"] == out["state"]
  assert set(loop["moved"]) == set(out["moved"]) == {"all-reduce data"}
  # Gradients of all parameters but the two tables of the biases that layers share: these
  # are [heads, distances], of 5 and 3 layers in a loop; written out, XLA adds layers
  # before devices. And some scalars.
  model = t5.t5_1_1(
    layers=5, decoder_layers=3, head_dim=8, dim=32, hidden=64, heads=4, vocab=64
  )
  tables, encoder, decoder = 2 * 4 * 32, 4 * (2 * 32 - 1), 4 * (2 * 16 - 1)
  for case, layers in ((loop, (5, 3)), (out, (1, 1))):
    biases = layers[0] * encoder + layers[1] * decoder
    expected = 4 * (param.count(model) - tables + biases)
    assert expected <= case["moved"]["all-reduce data"] <= expected + 64


def test_copies_sum_their_gradients_once(found):
  """float32 gradients of every parameter, and some scalars."""
  moved = found["data"]["moved"]
  assert set(moved) == {"all-reduce data"}
  gradients = 4 * found["parameters"]
  assert gradients <= moved["all-reduce data"] <= gradients + 1024


def test_tensors_are_summed_twice_a_layer_each_way(found):
  """Megatron's count (arXiv:1909.08053, 3): two forwards, two backwards; one of the two
  forwards is computed again with remat. Rows of 16 / 4 x 32 tokens x 32 features."""
  activations = 16 // 4 * 32 * 32 * 4
  layers = 6 * 5 * activations
  # Beside the layers: the gathered embedding, statistics of the loss.
  assert layers <= found["loop"]["moved"]["all-reduce tensor"] <= 1.1 * layers

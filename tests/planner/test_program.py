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
from models.families import bert, llama, t5
from models.components.execution import Execution
from partitioning.mesh import Mesh
from t5x_like import optim
from t5x_like.data import layouts, layouts_encoder, sources, task, vocab
from t5x_like.data.objectives.causal_lm import CausalLM
from t5x_like.data.objectives.mlm import MaskedLM
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

def staged(schedule, parts):
  found = run(4, "pipeline", data=4, pipeline=2)
  return dataclasses.replace(found, batch=8 * parts, execution=dataclasses.replace(
    found.execution, pipeline_schedule=schedule, pipeline_microbatches=parts))

for schedule in ("gpipe", "1f1b"):
  out[schedule] = [program.compiled(staged(schedule, n)).temporary for n in (8, 16, 24)]
  out[f"{schedule} inspect"] = [
    inspect.memory(Engine(one), inspect.batch_shapes(one))["activations (estimated)"]
    for one in (staged(schedule, n) for n in (8, 24))]
judging = dataclasses.replace(
  staged("1f1b", 8), model=bert.bert(layers=4, types=2, **SIZES | {"vocab": 128}),
  task=task.Task(name="none", train=sources.Text("unused"), vocabulary=vocab.Bytes(),
                 objective=MaskedLM(), layout=layouts_encoder.Encoder()),
  lengths={"inputs": 32})
try:
  Engine(judging)
except ValueError as error:
  out["error"] = str(error)
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


def test_what_waits_in_stages_that_alternate_does_not_grow_with_microbatches(found):
  """More rows of 32 tokens x 32 features, as many at a time; each stage has 4 groups of
  one. What enters the stages and its gradient are spread over them; the table's rows are
  read whole."""
  gpipe, alternating = found["gpipe"], found["1f1b"]
  row = 32 * 32 * 4
  less = [b - a for a, b in zip(alternating[:-1], alternating[1:], strict=True)]
  more = [b - a for a, b in zip(gpipe[:-1], gpipe[1:], strict=True)]
  assert all(grown <= 8 * 3 * row for grown in less)
  assert all(grown >= 8 * 12 * row for grown in more)
  assert alternating[-1] < gpipe[-1]
  less, more = (found[f"{name} inspect"] for name in ("1f1b", "gpipe"))
  assert less[1] == less[0] and more[1] > 2 * more[0]


def test_losses_of_rows_refuse_to_be_computed_by_tokens(found):
  assert "next_sentence are losses of whole rows. Use 'gpipe'." in found["error"]

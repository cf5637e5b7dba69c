"""What a search tries first, and how far its guesses are from what is compiled."""

import dataclasses
import math

import pytest
import small_run
from child import printed

from models.families import bert, llama
from t5x_like.data import layouts, sources, task, vocab
from t5x_like.data.objectives.causal_lm import CausalLM
from t5x_like.planner import search
from t5x_like.planner.chips import CHIPS
from t5x_like.planner.guess import facts
from t5x_like.planner.program import AXES

PROGRAM = """
import dataclasses, json
from models.components.execution import Execution
from models.families import llama
from partitioning.mesh import Mesh
from t5x_like import optim
from t5x_like.data import layouts, sources, task, vocab
from t5x_like.data.objectives.causal_lm import CausalLM
from t5x_like.planner import guess, search, verb
from t5x_like.planner.chips import CHIPS
from t5x_like.run import Run

RUN = verb.accelerated(Run(
  model=llama.llama(dim=256, hidden=512, heads=8, kv_heads=8, layers=8, vocab=1024),
  model_dir="x", task=task.Task(
    name="none", train=sources.Text("unused"), vocabulary=vocab.Bytes(),
    objective=CausalLM(), layout=layouts.CausalDecoder()),
  lengths={"targets": 256}, steps=1, batch=32, mesh=Mesh(), rules="data",
  optimizer=optim.AdamW(learning_rate=1e-3)))
CHIP, SHARE = CHIPS["h100"], 0.7
known = guess.facts(RUN)
wanted = [dict(data=8), dict(fsdp=8), dict(fsdp=4, tensor=2), dict(data=2, tensor=4),
          dict(data=4, pipeline=2), dict(pipeline=2, fsdp=2, tensor=2)]
out = []
for sizes in wanted:
  mesh = Mesh(**{"data": 1} | sizes)
  for one in search._with(RUN, known, mesh):
    if one.execution.remat not in ("none", "full"):
      continue
    mine = guess.guess(one, known, CHIP, efficiency=SHARE)
    found = verb.report(one, name="h100", chip=CHIP, efficiency=SHARE)
    out.append(dict(case=f"{sizes} {one.execution.remat}",
      memory=[mine.memory, found["memory_total"]],
      compute=[mine.cost.compute, found["compute_seconds"]],
      exposed=[mine.cost.exposed, found["exposed_network_seconds"]],
      hidden=[mine.cost.hidden, found["hidden_network_seconds"]]))
print(json.dumps(out))
"""


def run(**changes):
  options = dict(
    model=llama.llama(dim=32, hidden=64, heads=4, kv_heads=4, layers=4, vocab=96),
    task=task.Task(
      name="none",
      train=sources.Text("unused"),
      vocabulary=vocab.Bytes(),
      objective=CausalLM(),
      layout=layouts.CausalDecoder(),
    ),
    lengths={"targets": 64},
    batch=32,
  )
  return small_run.run(**(options | changes))


@pytest.fixture(scope="module")
def guessed(root):
  return printed(root, PROGRAM, devices=8)


@pytest.mark.parametrize(
  ("what", "least", "most"),
  [
    ("memory", 0.55, 1.2),
    ("compute", 0.8, 1.2),
    ("exposed", 0.5, 1.2),
    ("hidden", 0.7, 1.2),
  ],
)
def test_guesses_are_near_what_is_compiled(guessed, what, least, most):
  """Over a factor of four in memory and of thirty in what is exposed."""
  for one in guessed:
    mine, found = one[what]
    assert least * found <= mine <= most * found, one["case"]


@pytest.fixture
def tried(monkeypatch):
  """Candidates, of which all are taken to divide what they have to."""
  monkeypatch.setattr(search, "_builds", lambda run: True)

  def found(run, devices=8, **changes):
    chip = dataclasses.replace(CHIPS["h100"], **changes)
    return list(search.candidates(run, chip, devices=devices, efficiency=0.7))

  return found


def test_every_candidate_uses_all_devices_and_divides_the_batch(tried):
  found = tried(run(), devices=16)
  shapes = {(one.mesh, one.execution) for one in found}
  assert len(shapes) == len(found) > 20
  for one in found:
    assert math.prod(getattr(one.mesh, axis) for axis in AXES) == 16
    assert one.batch % (one.mesh.data * one.mesh.pipeline * one.mesh.fsdp) == 0


def test_stages_are_tried_where_layers_and_losses_allow(tried):
  stages = lambda found: {one.mesh.pipeline for one in found}
  assert stages(tried(run())) == {1, 2, 4}
  sizes = dict(dim=32, hidden=64, heads=4, kv_heads=4, vocab=96)
  assert stages(tried(run(model=llama.llama(layers=6, **sizes)))) == {1, 2}
  judging = bert.bert(dim=32, heads=4, layers=4, hidden=64, vocab=96)
  assert not search._cuts(run(model=judging), None, 2)
  for one in tried(run()):
    if one.mesh.pipeline > 1:
      rows = one.batch // (one.mesh.data * one.mesh.fsdp)
      assert rows % one.execution.pipeline_microbatches == 0
      assert one.execution.pipeline_schedule == "1f1b"


def test_what_fits_comes_first_by_seconds_and_the_rest_by_memory(tried):
  """1.5 MB: some meshes hold the 60 thousand parameters and activations, most do not."""
  memory = 1_500_000
  known = facts(run())
  chip = dataclasses.replace(CHIPS["h100"], memory=memory)
  costs = [
    search.guess(one, known, chip, efficiency=0.7)
    for one in tried(run(), memory=memory)
  ]
  fit = [one.memory <= memory for one in costs]
  assert 0 < sum(fit) < len(fit)
  assert fit == sorted(fit, reverse=True)
  seconds = [one.cost.seconds for one in costs[: sum(fit)]]
  assert seconds == sorted(seconds)
  rest = [one.memory for one in costs[sum(fit) :]]
  assert rest == sorted(rest)

"""Processes of one run trace the same program, whatever Python's random hashes are.

Where they did not, their collectives would come in another order: they would wait for each
other forever, or add up what does not belong together.
"""

import json
import subprocess
import sys

from child import environment

PROGRAM = """
import hashlib, json
import jax
from models.components.execution import Execution
from models.families.switch import switch
from partitioning.mesh import Mesh
from t5x_like import inspect, optim
from t5x_like.data import sources, task, vocab
from t5x_like.data.objectives.span_corruption import SpanCorruption
from t5x_like.engine import Engine, abstract_batch
from t5x_like.run import Run

# Two extra losses, of an encoder and a decoder.
MODEL = switch(dim=16, hidden=24, heads=2, head_dim=8, layers=4, experts=4, vocab=96)
TASK = task.Task(name="none", train=sources.Text("unused"), vocabulary=vocab.Bytes(),
                 objective=SpanCorruption())

def traced(schedule):
  run = Run(model=MODEL, model_dir="x", task=TASK, lengths={"inputs": 16, "targets": 8},
            steps=1, batch=8, mesh=Mesh(data=2, pipeline=2), rules="pipeline",
            execution=Execution(pipeline_schedule=schedule),
            optimizer=optim.AdamW(learning_rate=1e-3))
  engine = Engine(run)
  batch = abstract_batch(inspect.batch_shapes(run), engine.batch_sharding)
  step = jax.jit(engine._train_step, out_shardings=(engine.shardings, None))
  text = step.lower(engine.abstract_state(), batch).as_text()
  return hashlib.sha256(text.encode()).hexdigest()

print(json.dumps([traced(schedule) for schedule in ("gpipe", "1f1b")]))
"""


def test_every_process_traces_the_same_program(root):
  started = [
    subprocess.Popen(
      [sys.executable, "-c", PROGRAM],
      env=environment(root, devices=4) | {"PYTHONHASHSEED": seed},
      stdout=subprocess.PIPE,
      text=True,
    )
    for seed in ("1", "2", "3")
  ]
  found = [process.communicate()[0].splitlines()[-1] for process in started]
  assert len(set(found)) == 1
  assert len(set(json.loads(found[0]))) == 2  # the schedules differ

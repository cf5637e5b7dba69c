"""The stream of batches: a function of its number, whoever makes it, and when."""

import dataclasses
import itertools
import os
import pathlib
import subprocess
import sys
import time

import numpy as np
import pytest

from t5x_like.data import sources, vocab
from t5x_like.data.layouts import CausalDecoder
from t5x_like.data.objectives.causal_lm import CausalLM
from t5x_like.data.objectives.span_corruption import SpanCorruption
from t5x_like.data.objectives.supervised import Supervised
from t5x_like.data.packing import BestFit, ConcatSplit, FirstFit
from t5x_like.data.pipeline import Pipeline
from t5x_like.data.stages import Stage
from t5x_like.data.task import Mixture, Task

LENGTHS = {"inputs": 32, "targets": 16}
WORDS = "the cat sat on a mat and saw seven large green birds fly over water".split()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  path = tmp_path_factory.mktemp("pipeline")
  random = np.random.default_rng(0)
  for name in "ab":
    lines = [
      f"{name} " + " ".join(random.choice(WORDS, random.integers(2, 40)))
      for _ in range(60)
    ]
    (path / f"{name}.txt").write_text("\n".join(lines))
  pairs = [
    f'{{"q": "{" ".join(random.choice(WORDS, 3))}", "a": "{random.choice(WORDS)}"}}'
    for _ in range(50)
  ]
  (path / "pairs.jsonl").write_text("\n".join(pairs))
  return path


def spans(folder, name="a"):
  source = sources.Text(str(folder / f"{name}.txt"))
  return Task(
    name=name,
    train=source,
    validation=source,
    vocabulary=vocab.Bytes(extra_ids=100),
    objective=SpanCorruption(),
  )


def packed(folder):
  source = sources.JsonLines(str(folder / "pairs.jsonl"), field=("q", "a"))
  return Task(
    name="pairs",
    train=source,
    vocabulary=vocab.Bytes(extra_ids=100),
    objective=Supervised(),
    packing=FirstFit(),
  )


def tasks(folder):
  mixture = Mixture(
    name="both", parts=((spans(folder, "a"), 1.0), (spans(folder, "b"), 3.0))
  )
  return {
    "spans": spans(folder),
    "mixture": mixture,
    "packed": packed(folder),
    "apart": dataclasses.replace(spans(folder), packing=BestFit()),
    "joined": dataclasses.replace(
      spans(folder),
      objective=CausalLM(),
      layout=CausalDecoder(),
      packing=ConcatSplit(),
    ),
  }


def pipeline(folder, task, **changes):
  options = dict(lengths=LENGTHS, batch=8, seed=3, data_dir=str(folder / "data"))
  return Pipeline(task, **(options | changes))


def take(stream, count):
  return list(itertools.islice(stream, count))


def same(one, other):
  assert one.keys() == other.keys()
  for name in one:
    np.testing.assert_array_equal(one[name], other[name])


def share(index, count):
  """Of a batch, the rows of a process that has as many neighbours as others."""
  return lambda batch: slice(index * batch // count, (index + 1) * batch // count)


@pytest.mark.parametrize("kind", ["spans", "mixture", "packed", "apart", "joined"])
@pytest.mark.parametrize("processes", [2, 4])
def test_the_global_batch_is_the_same_on_any_number_of_processes(
  folder, kind, processes
):
  task = tasks(folder)[kind]
  whole = take(pipeline(folder, task).batches(), 6)
  parts = [
    take(
      pipeline(folder, task, rows=share(i, processes)).batches(),
      6,
    )
    for i in range(processes)
  ]
  for step, (batch, state) in enumerate(whole):
    shares = [part[step] for part in parts]
    joined = {
      name: np.concatenate([share[0][name] for share in shares]) for name in batch
    }
    same(joined, batch)
    assert all(share[1]["example"] == state["example"] for share in shares)


@pytest.mark.parametrize("kind", ["spans", "mixture", "packed", "apart", "joined"])
@pytest.mark.parametrize("cut", [1, 2, 5, 9])
def test_a_resumed_stream_goes_on_exactly_where_it_stopped(folder, kind, cut):
  # 60 lines of some 100 bytes are about 160 chunks of 35: epochs end inside 12 batches
  # of the packed pairs (50 a pass) and the cuts fall on both sides of such an end.
  task = tasks(folder)[kind]
  whole = take(pipeline(folder, task).batches(), 12)
  resumed = take(pipeline(folder, task).batches(whole[cut - 1][1]), 12 - cut)
  for (batch, state), (again, later) in zip(whole[cut:], resumed, strict=True):
    same(again, batch)
    assert later == state


def test_worker_processes_change_nothing_and_end_with_their_stream(folder):
  task = spans(folder)
  plain = take(pipeline(folder, task).batches(), 5)
  stream = pipeline(folder, task, workers=2).batches()
  for (batch, state), (again, later) in zip(plain, take(stream, 5), strict=True):
    same(again, batch)
    assert later == state
  stream.close()


def test_an_epoch_shows_every_chunk_once_and_the_next_in_another_order(folder):
  task = Task(
    name="lm",
    train=sources.Text(str(folder / "a.txt")),
    vocabulary=vocab.Bytes(extra_ids=100),
    objective=CausalLM(),
    layout=CausalDecoder(),
  )
  made = pipeline(folder, task, batch=1)
  count = len(made.opened[0].parts[0])
  rows = [
    batch["decoder_target_tokens"].tobytes()
    for batch, _ in take(made.batches(), 2 * count)
  ]
  first, second = rows[:count], rows[count:]
  assert sorted(first) == sorted(second) and first != second
  assert len(set(first)) == len({*first, *second})


def test_a_mixture_keeps_its_rates(folder):
  made = pipeline(folder, tasks(folder)["mixture"])
  plan = made.opened[0].plan(0, {})
  share = np.mean([plan[i][0] for i in range(400)])
  assert abs(share - 0.75) < 0.01  # deterministic, to within one example a task


def test_another_seed_is_another_order(folder):
  one, _ = next(pipeline(folder, spans(folder)).batches())
  other, _ = next(pipeline(folder, spans(folder), seed=4).batches())
  assert not np.array_equal(one["encoder_input_tokens"], other["encoder_input_tokens"])


@pytest.mark.parametrize(
  ("change", "named"),
  [
    ({"seed": 4}, "seed: saved 3, now 4"),
    ({"batch": 4}, "batch: saved 8, now 4"),
    ({"lengths": {"inputs": 48, "targets": 16}}, "lengths"),
  ],
)
def test_a_changed_stream_is_refused_with_the_difference(folder, change, named):
  _, state = next(pipeline(folder, spans(folder)).batches())
  changed = pipeline(folder, spans(folder), **change)
  with pytest.raises(ValueError, match=named):
    next(changed.batches(state))


def test_packed_rows_hold_each_example_once_and_whole(folder):
  made = pipeline(folder, packed(folder), batch=2)
  stream = take(made.batches(), 12)
  shown = sum(
    int(batch["encoder_segment_ids"].max(axis=1).sum()) for batch, _ in stream
  )
  assert shown == stream[-1][1]["example"]
  assert made.efficiency > 0.5
  for batch, _ in stream:
    np.testing.assert_array_equal(
      batch["encoder_segment_ids"].max(axis=1), batch["decoder_segment_ids"].max(axis=1)
    )


def passed(made):
  """The validation batches of the only task."""
  (batches,) = made.evaluations().values()
  return batches


def test_evaluation_is_one_pass_and_fills_up_with_weight_zero(folder):
  made = pipeline(folder, spans(folder))
  count = len(made._validation[0])
  batches = list(passed(made))
  assert len(batches) == -(-count // 8)
  rows = np.concatenate([b["decoder_loss_weights"].sum(axis=1) for b in batches])
  assert (rows[:count] > 0).all() and (rows[count:] == 0).all()
  again = list(passed(made))
  for one, other in zip(batches, again, strict=True):
    same(one, other)


def test_evaluation_does_not_depend_on_the_seed(folder):
  one = next(passed(pipeline(folder, spans(folder))))
  same(next(passed(pipeline(folder, spans(folder), seed=9))), one)


def test_too_little_text_says_how_much_there_is(folder, tmp_path):
  (tmp_path / "tiny.txt").write_text("ab")
  task = Task(
    name="tiny",
    train=sources.Text(str(tmp_path / "tiny.txt")),
    vocabulary=vocab.Bytes(extra_ids=100),
    objective=SpanCorruption(),
  )
  with pytest.raises(ValueError, match="has 2 tokens, fewer than the 3"):
    pipeline(tmp_path, task)


def test_a_layout_without_its_features_is_refused(folder):
  with pytest.raises(ValueError, match="needs inputs, which CausalLM does not make"):
    Task(
      name="x",
      train=sources.Text("x"),
      vocabulary=vocab.Bytes(),
      objective=CausalLM(),
    )


TRAINER = """
import sys
sys.path.insert(0, sys.argv[1])
if __name__ == "__main__":
  from pathlib import Path
  import test_pipeline
  folder = Path(sys.argv[2])
  task = test_pipeline.spans(folder)
  stream = test_pipeline.pipeline(folder, task, workers=2).batches()
  next(stream)
  print("ready", flush=True)
  sys.stdin.read()
"""


def test_workers_do_not_outlive_a_killed_trainer(folder, tmp_path, root):
  script = tmp_path / "trainer.py"
  script.write_text(TRAINER)
  trainer = subprocess.Popen(
    [sys.executable, script, pathlib.Path(__file__).parent, folder],
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
    env=os.environ | {"PYTHONPATH": str(root)},
  )
  assert trainer.stdout.readline() == b"ready\n"
  workers = _children(trainer.pid)
  assert len(workers) >= 2
  trainer.kill()
  trainer.wait()
  deadline = time.monotonic() + 10
  while time.monotonic() < deadline and any(map(_alive, workers)):
    time.sleep(0.05)
  assert not any(map(_alive, workers))


def _children(parent):
  found = []
  for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
    try:
      fields = stat.read_text().rsplit(")", 1)[1].split()
    except OSError:  # it ended meanwhile
      continue
    if int(fields[1]) == parent:
      found.append(int(stat.parent.name))
  return found


def _alive(pid):
  try:
    state = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
  except FileNotFoundError:
    return False
  return state != "Z"


def curriculum(folder, **options):
  """A larger batch from step 2, another task from 4, longer rows from 5."""
  made = tasks(folder)
  return pipeline(
    folder,
    spans(folder),
    later=(
      Stage(start=2, batch=16),
      Stage(start=4, task=made["mixture"]),
      Stage(start=5, lengths={"inputs": 48, "targets": 16}),
    ),
    **options,
  )


def test_stages_change_the_batch_the_task_and_the_lengths_at_their_step(folder):
  batches = [batch for batch, _ in take(curriculum(folder).batches(), 7)]
  shapes = [batch["encoder_input_tokens"].shape for batch in batches]
  length = pipeline(folder, spans(folder)).lengths["inputs"]
  assert shapes == [(8, length)] * 2 + [(16, length)] * 3 + [(16, 48)] * 2


def test_a_curriculum_resumes_at_any_step(folder):
  made = take(curriculum(folder).batches(), 7)
  for step in range(1, 7):
    rest = take(curriculum(folder).batches(made[step - 1][1]), 7 - step)
    for (batch, state), (expected, expected_state) in zip(
      rest, made[step:], strict=True
    ):
      same(batch, expected)
      assert state == expected_state


def test_a_larger_batch_goes_on_in_the_same_text(folder):
  plain = take(pipeline(folder, spans(folder)).batches(), 6)
  grown = take(curriculum(folder).batches(), 4)
  # Two batches of 8, two of 16: the chunks of the first six plain batches, in order.
  # (What is hidden in them differs: a stage has random numbers of its own.)
  same(grown[0][0], plain[0][0])
  firsts = lambda stream: np.concatenate([b["encoder_input_tokens"] for b, _ in stream])
  # T5's examples start with a visible token, that of their chunk.
  np.testing.assert_array_equal(firsts(grown)[:, 0], firsts(plain)[:, 0])

"""Pipeline: a stream of global batches, each a function of its number alone.

You are in: t5x_like/data. Upstream: tasks, vocabularies, token caches, stages. Downstream:
the loop. Row i of an unpacked stage is made from (configuration, seed, i); Grain supplies
threads and worker processes. So the global batch at step k is the
same on any number of processes and workers, and after any restart; resuming is a seek.

The state of the stream is {"step": the next one, "stage": the stage it lies in, "example":
number of the next example of that stage, "used": examples of each part that earlier
stages took, "fingerprint": what the stream is made of}; a checkpoint holds it, and a
changed fingerprint is refused.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import json
from collections.abc import Callable, Iterator, Sequence

import grain
import numpy as np
from absl import flags

from t5x_like.data import stages, transforms
from t5x_like.data.layouts import started
from t5x_like.data.objectives.ids import Ids
from t5x_like.data.open_stage import OpenStage, differences, facts
from t5x_like.data.plan import Plan
from t5x_like.data.task import Mixture, Task, check_lengths, text
from t5x_like.data.tokens import TokenCache
from t5x_like.data.vocab import Vocabulary

Batch = dict[str, np.ndarray]


class Pipeline:
  """The batches of a run. Prepares vocabulary and token caches when it is made."""

  def __init__(
    self,
    task: Task | Mixture,
    *,
    lengths: dict[str, int],
    batch: int,
    seed: int,
    data_dir: str,
    later: Sequence[stages.Stage] = (),
    evaluated: Task | Mixture | None = None,
    workers: int = 0,
    rows: Callable[[int], slice] = lambda batch: slice(0, batch),
  ):
    """
    Args:
      lengths: tokens of each feature, {"inputs": 512, "targets": 114}.
      batch: rows of a global batch.
      rows: of a global batch of so many rows, those that this process yields: all.
      data_dir: where vocabularies and token caches are kept.
      later: stages that change these from some step on.
      evaluated: whose validation data is evaluated, by default that of `task`.
      workers: processes that make examples; 0 makes them in a thread of this one.

    Raises:
      ValueError: no data, missing lengths.
    """
    self.task, self.lengths, self.batch, self.seed = task, lengths, batch, seed
    self.workers = workers
    self._rows = rows
    self._data_dir = data_dir
    self.vocabulary = vocabulary_of(task, data_dir)
    self._evaluated = evaluated or task
    start = stages.Settled(start=0, task=task, lengths=lengths, batch=batch)
    self.stages = stages.settle(start, later)
    ends = [stage.start for stage in self.stages[1:]] + [None]
    self.opened = [
      self._open(number, *stage)
      for number, stage in enumerate(zip(self.stages, ends, strict=True))
    ]
    self.layout = self.opened[0].layout
    self.efficiency: float | None = None

  def _open(self, number: int, stage: stages.Settled, end: int | None) -> OpenStage:
    tasks = stage.task.leaves
    for task in tasks:
      if repr(task.vocabulary) != repr(self.task.leaves[0].vocabulary):
        raise ValueError(
          f"Task {task.name!r} has another vocabulary than the run starts with; a model "
          "has one table of embeddings."
        )
    parts = tuple(self._part(task, "train", stage.lengths) for task in tasks)
    shares = stage.task.shares({part.name: part.size for part in parts})
    return OpenStage(
      number=number,
      settled=stage,
      end=end,
      parts=parts,
      rates=tuple(shares[part.name] for part in parts),
      packing=tasks[0].packing,
    )

  def _part(self, task: Task, split: str, lengths: dict[str, int]) -> transforms.Part:
    """A task's examples of one split, by number."""
    check_lengths(task, lengths)
    source = getattr(task, split)
    if source is None:
      raise ValueError(
        f"Task {task.name!r} has no {split} source. Set Task.{split}, hold documents "
        "out with sources.Holdout, or set EVAL_STEPS to 0."
      )
    objective, vocabulary = task.objective, self.vocabulary
    cache = TokenCache.for_objective(
      objective, source, vocabulary, data_dir=self._data_dir
    )
    sentinels = vocabulary.sentinels
    ids = Ids(
      eos=vocabulary.eos_id,
      first_sentinel=vocabulary.first_sentinel if sentinels else -1,
      sentinels=sentinels,
      size=vocabulary.size,
      base_size=vocabulary.base_size,
      vocabulary=vocabulary,
    )
    layout = task.layout
    if hasattr(layout, "eos"):
      layout = dataclasses.replace(layout, eos=vocabulary.eos_id)
    return transforms.Part(
      name=task.name,
      cache=cache,
      objective=objective,
      layout=layout,
      ids=ids,
      lengths=tuple(sorted(lengths.items())),
      joins=task.packing is None or task.packing.joins,
    )

  @functools.cached_property
  def fingerprint(self) -> dict:
    """What decides the stream; JSON."""
    bos = {"bos": self.vocabulary.bos_id} if self.vocabulary.bos_id else {}
    return bos | {
      "seed": self.seed,
      "vocabulary": self.vocabulary.fingerprint,
      "stages": [facts(stage) for stage in self.opened],
    }

  def batches(self, state: dict | None = None) -> Iterator[tuple[Batch, dict]]:
    """Endless (this process's rows, state after them) from a saved state or the start.

    Raises ValueError when `state` belongs to another stream, with the differences.
    """
    step, number, example, used = 0, 0, 0, {}
    if state is not None:
      self._check(state["fingerprint"])
      step, number = state["step"], state["stage"]
      example, used = state["example"], state["used"]
    while True:
      stage = self.opened[number]
      plan = stage.plan(self.seed, used)
      stream = self._packed if stage.packing else self._unpacked
      for batch, taken in stream(stage, plan, example, step):
        step, example = step + 1, taken
        yield (
          started(batch, self.vocabulary.bos_id),
          {
            "step": step,
            "stage": number,
            "example": example,
            "used": used,
            "fingerprint": self.fingerprint,
          },
        )
      used = {**used}
      for key, count in zip(stage.keys, plan.counts(example), strict=True):
        used[key] = used.get(key, 0) + count
      number, example = number + 1, 0

  def _unpacked(
    self, stage: OpenStage, plan: Plan, example: int, step: int
  ) -> Iterator[tuple[Batch, int]]:
    """One example a row; Grain's element number is the number of the batch."""
    del step
    size = stage.settled.batch
    share = self._rows(size)
    make = transforms.MakeBatch(
      parts=stage.parts,
      plan=plan,
      batch=size,
      first=share.start,
      last=share.stop,
      stream=self._stream(stage),
    )
    number = example // size
    count = None if stage.end is None else stage.end - stage.settled.start
    for batch in self._read(make, number, count):
      number += 1
      yield batch, number * size

  def _packed(
    self, stage: OpenStage, plan: Plan, example: int, step: int
  ) -> Iterator[tuple[Batch, int]]:
    """Examples in order, packed into the rows of one global batch after another.

    Every process packs the whole batch and keeps its rows: which examples share a row
    depends on all of them.
    """
    if step == stage.end:
      return
    layout, lengths = stage.layout, stage.settled.lengths
    capacity = layout.lengths(lengths)
    share = self._rows(stage.settled.batch)
    rows = stage.packing.open(stage.settled.batch, capacity)
    for number, made in self._examples(stage, plan, example):
      if rows.add(made, layout.sizes(made)):
        continue
      self.efficiency = rows.efficiency()
      made_rows = [layout.row(group, lengths, True) for group in rows.groups[share]]
      yield _stacked(made_rows), number
      step += 1
      if step == stage.end:
        return
      rows = stage.packing.open(stage.settled.batch, capacity)
      rows.add(made, layout.sizes(made))

  def _examples(
    self, stage: OpenStage, plan: Plan, first: int
  ) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
    """(number, example) from example `first` on."""
    make = transforms.MakeExamples(
      parts=stage.parts, plan=plan, stream=self._stream(stage)
    )
    block = first // transforms.BLOCK
    numbers = itertools.count(block * transforms.BLOCK)
    examples = itertools.chain.from_iterable(self._read(make, block))
    for number, made in zip(numbers, examples, strict=False):
      if number >= first:
        yield number, made

  def _stream(self, stage: OpenStage) -> tuple[int, int, int]:
    """Names the random numbers of a stage's examples."""
    return self.seed, transforms.TRAIN, stage.number

  def _read(self, make: object, start: int, stop: int | None = None) -> Iterator:
    """make(start), make(start + 1), ... through Grain's threads or workers."""
    numbers = grain.MapDataset.range(start, stop or np.iinfo(np.int32).max)
    if not len(numbers):
      return iter(())
    options = grain.ReadOptions(num_threads=1, prefetch_buffer_size=4)
    dataset = numbers.map(make).to_iter_dataset(options)
    if self.workers:
      # Grain reads its settings from absl's flags, which our command line does not use.
      if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()
      dataset = dataset.mp_prefetch(
        grain.MultiprocessingOptions(num_workers=self.workers),
        worker_init_fn=transforms.follow_parent,
      )
    return iter(dataset)

  def evaluations(self) -> dict[str, Iterator[Batch]]:
    """For each evaluated task one pass over its validation data, in order, unpacked.

    The same at every call; the last batch is filled up with rows of weight 0.
    """
    return {part.name: self._pass(part) for part in self._validation}

  def _pass(self, part: transforms.Part) -> Iterator[Batch]:
    share = self._rows(self.batch)
    blank = part.layout.row([], dict(part.lengths), True)
    # The same whatever the seed of the run.
    random = transforms.Generators(0, transforms.EVALUATION)
    for start in range(0, len(part), self.batch):
      numbers = np.arange(start + share.start, start + share.stop)
      batch = {
        name: np.broadcast_to(values, (len(numbers), *values.shape)).copy()
        for name, values in blank.items()
      }
      held = numbers[numbers < len(part)]
      for name, values in part.rows(held, held, random).items() if len(held) else ():
        batch[name][: len(held)] = values
      yield started(batch, self.vocabulary.bos_id)

  @functools.cached_property
  def _validation(self) -> list[transforms.Part]:
    return [
      self._part(task, "validation", self.lengths) for task in self._evaluated.leaves
    ]

  def epoch(self, state: dict) -> float:
    """Passes over the training data of the first part of the current stage."""
    stage = self.opened[state["stage"]]
    plan = stage.plan(self.seed, state["used"])
    return (plan.offsets[0] + plan.counts(state["example"])[0]) / plan.sizes[0]

  def describe(self) -> str:
    """What the run reads, for its user: documents, tokens and what was skipped."""
    lines = []
    for stage in self.opened:
      if len(self.opened) > 1:
        settled = stage.settled
        lines.append(
          f"from step {settled.start}: batch {settled.batch}, lengths {settled.lengths}"
        )
      for part, rate in zip(stage.parts, stage.rates, strict=True):
        report = part.cache.report
        tokens = sum(report["tokens"].values())
        share = f", rate {rate:.3g}" if len(stage.parts) > 1 else ""
        lines.append(
          f"data: {part.name}{share}: {report['summary']}, {tokens:,} tokens, "
          f"{len(part):,} examples an epoch"
        )
    size = self.vocabulary.size
    lines.append(f"vocabulary: {type(self.vocabulary).__name__}, {size:,} ids")
    return "\n".join(lines)

  def _check(self, saved: dict) -> None:
    changed = list(differences(saved, json.loads(json.dumps(self.fingerprint))))
    if changed:
      raise ValueError(
        "The data is not what the checkpoint was trained on: "
        + "; ".join(changed)
        + ". Restore the old data or configuration, or start in another MODEL_DIR with "
        "INITIAL_CHECKPOINT_PATH set to this one."
      )


def vocabulary_of(task: Task | Mixture, data_dir: str) -> Vocabulary:
  """The vocabulary of a task or mixture, trained on all its text if it has to be."""
  source = text(task).located(data_dir)
  return task.leaves[0].vocabulary.resolve(source, data_dir=data_dir)


def _stacked(rows: list[Batch]) -> Batch:
  return {name: np.stack([row[name] for row in rows]) for name in rows[0]}

"""Guess: what a mesh would cost, before it is compiled; good enough to choose what to try.

You are in: t5x_like/planner. Upstream: a `Run`, of which what no mesh changes is found once
(`facts`). Downstream: search.py. How far guesses are from what is compiled is in
tests/planner/test_search.py.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp

from models.components import flops, param
from models.components.execution import REMAT, Execution
from models.components.pipeline import ticks
from models.components.pipeline_schedule import Schedule
from partitioning.mesh import Mesh
from t5x_like import inspect, losses, step
from t5x_like.engine import initial
from t5x_like.planner.chips import Chip
from t5x_like.planner.predict import Prediction, predict
from t5x_like.planner.program import AXES, Program
from t5x_like.run import Run

# Products of a step, with those that are computed again (docs/scale.md, Memory).
AGAIN = {"none": 1.0, "minimal": 1.0, "dots": 1.04, "full": 1.25}
# Of what a block keeps, how much a tensor axis without a split of tokens divides.
SPLIT = {"none": 0.75, "minimal": 0.75, "dots": 0.75, "full": 0.0}


@dataclasses.dataclass(frozen=True)
class Facts:
  """Of a run on any mesh.

  Numbers of parameters: in layers, outside, in one layer. flops: useful ones of a step.
  Bytes: stored, between steps beside parameters; kept, of a row from its forward to its
  backward pass, by rematerialization; passed, of a row from one part of a block to the
  next; passes, the same of all parts. equal: numbers of equal layers.
  """

  inside: int
  outside: int
  block: int
  flops: float
  stored: int
  kept: dict[str, int]
  passed: int
  passes: int
  equal: tuple[int, ...]
  lengths: tuple[int, ...]


def facts(run: Run) -> Facts:
  """Traced, not compiled: seconds."""
  module = run.model.build()
  declared = param.declarations(module)
  shapes = inspect.batch_shapes(run)
  lengths = inspect.model_lengths(shapes)
  kept = {}
  for remat in REMAT:
    execution = dataclasses.replace(_plain(run.execution), remat=remat)
    plan = step.Plan(module=module, loss=run.loss, execution=execution)
    kept[remat] = inspect.residual_bytes(plan, declared, shapes, 1)
  sides = [(getattr(run.model, side), length) for side, length in lengths.items()]
  width = run.model.dim * jnp.dtype(run.execution.compute_dtype).itemsize
  parts = sum(
    length * (2 + (block.cross is not None))
    for stack, length in sides
    for block in stack.blocks
  )
  layers = {
    path: d for path, d in declared.items() if path.split("/")[1].startswith("blocks_")
  }
  inside = sum(d.size for d in layers.values())
  return Facts(
    inside=inside,
    outside=sum(d.size for d in declared.values()) - inside,
    block=max(_of_one_block(layers).values()),
    stored=_stored_bytes(run, declared),
    kept=kept,
    passed=max(lengths.values()) * width,
    passes=parts * width,
    flops=flops.step_flops(run.model, batch=run.batch, lengths=lengths),
    equal=tuple(sorted({d.shape[d.axes.index("layers")] for d in layers.values()})),
    lengths=tuple(lengths.values()),
  )


def _plain(execution: Execution) -> Execution:
  return dataclasses.replace(execution, pipeline_repeats=None, offload=())


def _of_one_block(layers: dict[str, param.Declared]) -> dict[str, int]:
  """Parameters of one layer of each run."""
  found: dict[str, int] = {}
  for path, declared in layers.items():
    name = "/".join(path.split("/")[:2])
    count = declared.shape[declared.axes.index("layers")]
    found[name] = found.get(name, 0) + declared.size // count
  return found


def _stored_bytes(run: Run, declared: dict[str, param.Declared]) -> int:
  transform = run.optimizer.build({path: d.axes for path, d in declared.items()})
  found = jax.eval_shape(initial(run, declared, transform))
  leaves = jax.tree.leaves((found.opt_state, found.extra))
  return sum(leaf.size * leaf.dtype.itemsize for leaf in leaves)


@dataclasses.dataclass(frozen=True)
class Guess:
  """Bytes of one device, and a prediction as of a compiled program."""

  memory: float
  cost: Prediction


def guess(run: Run, known: Facts, chip: Chip, *, efficiency: float) -> Guess:
  """Of a run whose mesh says every size, with rules as `search.py` chooses them."""
  program = _Device(run, known).program()
  sizes = tuple(getattr(run.mesh, axis) for axis in AXES)
  dtype = run.execution.compute_dtype
  cost = predict(program, chip, mesh=sizes, dtype=dtype, efficiency=efficiency)
  return Guess(program.state + program.temporary, cost)


@dataclasses.dataclass(frozen=True)
class _Device:
  """What one device has to do."""

  run: Run
  known: Facts

  @property
  def mesh(self) -> Mesh:
    return self.run.mesh

  @property
  def item(self) -> int:
    return jnp.dtype(self.run.execution.compute_dtype).itemsize

  @property
  def microbatches(self) -> int:
    """Of a pipeline; 1 without."""
    return self.run.execution.pipeline_microbatches or 1

  @property
  def rows(self) -> float:
    """That a group of devices computes in a step, or in one of `Run.microbatches`."""
    mesh = self.mesh
    return self.run.batch / (mesh.data * mesh.fsdp * self.run.microbatches)

  @property
  def waiting(self) -> float:
    """Time with waiting for other stages, over time without."""
    return ticks(self.mesh.pipeline, self.microbatches) / self.microbatches

  def program(self) -> Program:
    known, mesh, run = self.known, self.mesh, self.run
    copies = mesh.tensor * mesh.pipeline
    whole = 4 * self._parameters()
    # ZeRO 2 without a split of its own; the rules of the others split all three.
    stored = mesh.fsdp if mesh.fsdp > 1 or copies > 1 else mesh.data
    again = AGAIN[run.execution.remat] * (4 / 3 if mesh.pipeline > 1 else 1)
    useful = known.flops / (mesh.data * mesh.fsdp * copies)
    return Program(
      flops=useful * again * self.waiting,
      moved=self._moved(),
      state=whole / mesh.fsdp + known.stored * self._share() / stored,
      gradients=whole / stored,
      temporary=self._temporary(whole, whole / stored),
    )

  def _temporary(self, whole: float, gradients: float) -> float:
    known, mesh, run = self.known, self.mesh, self.run
    remat, tensor = run.execution.remat, mesh.tensor
    vocab = run.model.vocab
    tokens = self.rows / self.microbatches * max(known.lengths)
    logits = 8 * min(tokens, losses.chunk_tokens(vocab, 2)) * vocab / tensor
    if mesh.pipeline > 1:
      split = SPLIT[remat]
      rows = self.rows / self.microbatches
      kept = known.kept[remat] / mesh.pipeline * rows * (1 - split + split / tensor)
      slots = Schedule(mesh.pipeline, self.microbatches).slots
      gathered = whole if mesh.fsdp > 1 else 0
      # The loss has copies of what it uses, and their gradients.
      table = 2 * 4 * known.outside / tensor
      waiting = slots * rows * known.passed
      return 2 * whole + gathered + table + kept + waiting + logits
    block = known.kept["none"] / max(1, sum(known.equal))
    kept = known.kept[remat] + (0 if remat == "none" else 2 * block)
    gathered = known.block * (self.item + 4) / tensor if mesh.fsdp > 1 else 0
    return gradients + gathered + kept * self.rows / tensor + logits

  def _moved(self) -> dict:
    known, mesh, run = self.known, self.mesh, self.run
    steps = run.microbatches
    weights = self._parameters() * self.item
    sums = 2 + (run.execution.remat not in ("none", "minimal")) + (mesh.pipeline > 1)
    passes = sums * known.passes / mesh.pipeline * self.rows * self.waiting * steps
    gathers = 1 if mesh.pipeline > 1 else 2 * steps
    moved = {
      ("all-gather", ("fsdp",)): gathers * weights,
      ("reduce-scatter", ("fsdp",)): (1 if mesh.pipeline > 1 else steps) * weights,
      ("all-reduce", ("data",)): 4 * self._parameters() / mesh.fsdp,
      ("all-reduce", ("tensor",)): passes,
    }
    if mesh.pipeline > 1:
      count = ticks(mesh.pipeline, self.microbatches) * steps
      tick = self.rows / self.microbatches * known.passed
      moved["collective-permute", ("pipeline",)] = 2 * count * tick
      moved["all-reduce", ("pipeline",)] = 3 * self.rows * known.passed * steps
    return moved

  def _parameters(self) -> float:
    """Of a copy that `fsdp` does not split: stages have layers of their own."""
    known, mesh = self.known, self.mesh
    return (known.inside / mesh.pipeline + known.outside) / mesh.tensor

  def _share(self) -> float:
    return self._parameters() / (self.known.inside + self.known.outside)

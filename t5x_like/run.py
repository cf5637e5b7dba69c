"""Run: one frozen value, everything a training run is made of.

You are in: t5x_like. Upstream: config.py builds it from gin files (`run.Run` is the
root of every configuration); a test or a notebook builds it directly. Downstream: the
loop (train.py), evaluation, inference. Whatever changes results is a field without a
default, or one whose default is the simplest case.
"""

from __future__ import annotations

import dataclasses
import os

from models.components.execution import Execution
from models.components.spec import Swap
from partitioning.mesh import Mesh
from partitioning.rules import Rules, Scheme, resolve
from t5x_like.data.stages import Settled, settle
from t5x_like.freeze import Freeze
from t5x_like.loss_scale import Dynamic
from t5x_like.losses import CrossEntropy
from t5x_like.rounding import Stochastic

part = dataclasses.dataclass(frozen=True, kw_only=True)


def _positive(owner: object, *names: str) -> None:
  _at_least(owner, names, 1, "positive")


def _not_negative(owner: object, *names: str) -> None:
  _at_least(owner, names, 0, "zero or more")


def _at_least(owner: object, names: tuple[str, ...], low: int, rule: str) -> None:
  for name in names:
    value = getattr(owner, name)
    if value is not None and value < low:
      raise ValueError(f"{type(owner).__name__}.{name}={value} must be {rule}.")


@part
class Evaluation:
  """Evaluation on held-out data while training.

  period: steps between evaluations; the last step is always evaluated. batches: global
  batches of validation data of each task, None for all, 0 for no evaluation. samples:
  rows whose predictions are written to samples/. task: what is evaluated, by default
  what is trained on; give runs that train on different things the same one.
  """

  period: int = 1000
  batches: int | None = 20
  samples: int = 4
  task: object | None = None

  def __post_init__(self):
    _positive(self, "period")
    _not_negative(self, "batches", "samples")

  def due(self, step: int, steps: int) -> bool:
    """Whether to evaluate after `step` of `steps`."""
    return self.batches != 0 and (step % self.period == 0 or step == steps)


@part
class Checkpoint:
  """When the state is saved and which saved steps are kept.

  period: steps between saves; the last step is always saved. keep: the newest ones,
  None for all. keep_every: multiples of it are kept for good. keep_steps: steps that are
  saved whatever the period, and kept for good. best_metric: also keep
  the step with the best value of this metric, e.g. "validation/loss"; best_mode: "min"
  or "max".
  """

  period: int = 1000
  keep: int | None = 3
  keep_every: int | None = None
  keep_steps: tuple[int, ...] = ()
  best_metric: str | None = None
  best_mode: str = "min"

  def __post_init__(self):
    _positive(self, "period", "keep", "keep_every")
    if self.best_mode not in ("min", "max"):
      raise ValueError(
        f"Checkpoint.best_mode={self.best_mode!r} must be 'min' or 'max'."
      )

  def due(self, step: int, steps: int) -> bool:
    """Whether to save after `step` of `steps`."""
    return step % self.period == 0 or step == steps or step in self.keep_steps

  def options(self) -> dict[str, object]:
    """The keyword arguments of `checkpoint.Checkpointer`."""
    names = ("keep", "keep_every", "keep_steps", "best_metric", "best_mode")
    return {name: getattr(self, name) for name in names}


@part
class Log:
  """What is reported. period: steps between lines of metrics.jsonl."""

  period: int = 100
  tensorboard: bool = True

  def __post_init__(self):
    _positive(self, "period")


@part
class Branch:
  """Where a run begins that goes on from another: the trunk's run directory, and a step
  that is kept there (`Checkpoint.keep_steps`). Its whole state is taken over, the place
  in the data included; the two may differ in their schedules alone."""

  path: str
  step: int

  def __post_init__(self):
    _positive(self, "step")


@part
class Run:
  """A training run.

  model: spec of the architecture (models/). model_dir: the run directory. task: what it
  learns from, a `data.pipeline.Task` or `Mixture`. lengths: tokens of each feature,
  {"inputs": 512, "targets": 114}. steps: the absolute number of steps at which the run
  ends. batch: rows of a global batch, over all devices and microbatches. optimizer: a
  spec of optim.py, with its schedule.

  seed: decides initial values, the order of the data and dropout. ema: decay of averaged
  parameters, which are evaluated instead. microbatches: slices of the batch computed one
  after another to save memory. execution, mesh, rules: how and where, never what.
  restore_from: a run directory or checkpoint whose parameters a new run starts from.
  branch: the checkpoint of a run with another schedule that a new run goes on from; as
  both are one run until there, restore_from says what that one started from.
  swaps: parts of the model to replace, {"RMSNorm": LayerNorm()} or
  `spec.Swap(old="RMSNorm", new=LayerNorm())`; they are applied here, in order, so that
  `model` is what is trained. stages: what changes the task,
  the lengths or the batch from some step on, `stages.Stage(start=1000, batch=64)`.
  frozen: parameters that keep their values, `freeze.Freeze(pattern="encoder/.*")`.
  parametrisation: how model and optimizer follow a smaller one that was tuned,
  `parametrisation.MuP(base=...)`; it rewrites both here, after swaps.
  loss_scale: how the loss is scaled in float16, `loss_scale.Dynamic()`. rounding: how
  parameters are rounded to be stored in bfloat16, `rounding.Stochastic()`. noise_scale:
  whether microbatches are compared to estimate the best batch size (noise.py). pause: a
  step at which this command stops after a checkpoint (exit status 75); without it the
  same one goes on, to the same numbers.
  """

  model: object
  model_dir: str
  task: object
  lengths: dict[str, int]
  steps: int
  batch: int
  optimizer: object
  seed: int = 0
  loss: CrossEntropy = CrossEntropy()
  ema: float | None = None
  microbatches: int = 1
  swaps: tuple[Swap, ...] | dict[str, object] = ()
  stages: tuple[object, ...] = ()
  frozen: tuple[Freeze, ...] = ()
  parametrisation: object = None
  loss_scale: Dynamic | None = None
  rounding: Stochastic | None = None
  noise_scale: bool = False
  restore_from: str | None = None
  branch: Branch | None = None
  pause: int | None = None
  execution: Execution = Execution()
  mesh: Mesh = Mesh()
  rules: str | Rules | Scheme = "data"
  evaluation: Evaluation = Evaluation()
  checkpoint: Checkpoint = Checkpoint()
  log: Log = Log()
  data_dir: str = "~/.cache/t5x_like"
  data_workers: int = 0
  compilation_cache: bool = True

  def __post_init__(self):
    _check_kinds(self)
    _positive(self, "batch", "microbatches", "pause")
    _not_negative(self, "steps", "seed", "data_workers")
    for stage in self.settled:
      _check_lengths(stage.lengths)
      _check_division(self, stage.batch)
    if self.noise_scale and self.microbatches == 1:
      raise ValueError(
        "Run.noise_scale=True compares microbatches with the whole batch, and there is "
        "one; set run.Run.microbatches to 2 or more."
      )
    if self.ema is not None and not 0.0 < self.ema < 1.0:
      raise ValueError(f"Run.ema={self.ema} must lie between 0 and 1, or be None.")
    if not self.model_dir:
      raise ValueError("MODEL_DIR is empty; name the folder that the run writes to.")
    resolve(self.rules)
    _check_precision(self)
    _check_branch(self)
    model = self.model
    swaps = self.swaps
    if isinstance(swaps, dict):
      swaps = [Swap(old=old, new=new) for old, new in swaps.items()]
    for swap in swaps:
      model = swap(model)
    put = lambda name, value: object.__setattr__(self, name, value)
    if self.parametrisation is not None:
      put("optimizer", self.parametrisation.optimizer(model, self.optimizer))
      model = self.parametrisation.rewrite(model)
    put("model", model)
    # Applied once: `dataclasses.replace` must not do it again.
    put("swaps", ())
    put("parametrisation", None)
    put("model_dir", os.path.expanduser(self.model_dir))
    put("data_dir", os.path.expanduser(self.data_dir))

  @property
  def settled(self) -> tuple[Settled, ...]:
    """The stages of the run; the first begins at step 0."""
    first = Settled(start=0, task=self.task, lengths=self.lengths, batch=self.batch)
    return settle(first, self.stages)


def _check_kinds(run: Run) -> None:
  """By what they can do, not by class: new kinds need no change here."""
  for name, ability, remedy in (
    ("model", "build", "give a file of gin_configs/models/, or MODEL = @family.size()"),
    ("task", "shapes", "set MIXTURE_OR_TASK_NAME to a file of gin_configs/data/"),
    ("optimizer", "build", "set OPTIMIZER, e.g. to @optim.AdamW()"),
  ):
    value = getattr(run, name)
    if not hasattr(value, ability):
      raise ValueError(f"Run.{name}={value!r} is no {name}; {remedy}.")
  if run.parametrisation is not None and not hasattr(run.parametrisation, "rewrite"):
    raise ValueError(
      f"Run.parametrisation={run.parametrisation!r} is none; use None, or "
      "@parametrisation.MuP() with its base."
    )


def _check_precision(run: Run) -> None:
  half = run.execution.compute_dtype == "float16"
  trains = run.steps > 0
  if half and trains and run.loss_scale is None:
    raise ValueError(
      "ACTIVATION_DTYPE='float16' needs a scaled loss, or small gradients vanish; set "
      "run.Run.loss_scale = @loss_scale.Dynamic(), or use 'bfloat16'."
    )


def _check_branch(run: Run) -> None:
  if run.branch is not None and run.branch.step >= run.steps:
    raise ValueError(
      f"Run.branch.step={run.branch.step} must lie before the last step, {run.steps}."
    )


def _check_lengths(lengths: dict[str, int]) -> None:
  wrong = {name: length for name, length in lengths.items() if length <= 0}
  if wrong or not lengths:
    raise ValueError(
      f"TASK_FEATURE_LENGTHS={lengths} must give every feature a positive length, "
      "e.g. {'inputs': 512, 'targets': 114}."
    )


def _check_division(run: Run, batch: int) -> None:
  """What the mesh's written numbers already tell; the rest is known with the devices."""
  rows = 1
  for axis in (run.mesh.data, run.mesh.fsdp):
    rows *= max(axis, 1)  # -1: as many as there are
  if batch % (run.microbatches * rows):
    raise ValueError(
      f"BATCH_SIZE={batch} does not divide over {run.microbatches} microbatches of "
      f"rows on {rows} devices (mesh data={run.mesh.data}, fsdp={run.mesh.fsdp}). Use a "
      f"multiple of {run.microbatches * rows}."
    )

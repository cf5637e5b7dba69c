"""Engine: a run's model, optimizer and mesh, turned into compiled functions.

You are in: t5x_like, between the configuration (`run.py`) and the loop (`train.py`).
`Engine(run)` allocates nothing on the devices; `initial_state` and `abstract_state` do
what they say, and each step function is compiled once, at first use.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
import optax

from models.components import param
from models.components.attend_ring import Ring
from models.components.attend_splash import Split
from models.components.dense import keep_rows
from models.components.execution import OPTIMIZER, PIPELINE
from models.components.pipeline import Stages, microbatches_of
from models.components.recompute import host_memory
from models.components.stack import check_stages
from partitioning import place
from partitioning.rules import resolve
from t5x_like import freeze, kernels, rounding, step
from t5x_like import state as states
from t5x_like.run import Run
from t5x_like.state import TrainState


class Engine:
  """Everything derived from a Run that touches devices."""

  def __init__(self, run: Run):
    self.run = run
    if run.compilation_cache and jax.config.jax_compilation_cache_dir is None:
      # Compiled programs outlive the process: the next start skips the compiler.
      jax.config.update("jax_compilation_cache_dir", f"{run.data_dir}/compiled")
    self.mesh = run.mesh.build()
    self.rules = resolve(run.rules)
    place.check_used(self.mesh, self.rules)
    axis = place.row_axis(self.mesh, self.rules.rules)
    self.ring = None if axis is None else Ring(mesh=self.mesh, axis=axis)
    rows, heads = place.attention_axes(self.rules.rules)
    self.split = Split(mesh=self.mesh, rows=rows, heads=heads)
    spread = place.batch_axes(self.rules.rules)
    self.batch_shards = math.prod(self.mesh.shape[axis] for axis in spread)
    _check_batch(run, self.batch_shards, spread)
    self.stages = self._stages(spread)
    self.module = run.model.build()
    if self.ring is not None:
      keep_rows(self.module)
    self.declared = param.declarations(self.module)
    self.described = {p: (d.axes, d.shape) for p, d in self.declared.items()}
    axes = {path: declared.axes for path, declared in self.declared.items()}
    self.transform = run.optimizer.build(axes)
    freeze.check(run.frozen, list(self.declared))
    if run.rounding is not None:
      run.rounding.check(list(self.declared))
    self.plan = step.Plan(
      module=self.module,
      loss=run.loss,
      transform=self.transform,
      clip=run.optimizer.clip,
      microbatches=run.microbatches,
      ema=run.ema,
      frozen=run.frozen,
      loss_scale=run.loss_scale,
      rounding=run.rounding,
      noise_scale=run.noise_scale,
      seed=run.seed,
      execution=run.execution,
      constrain=place.constrainer(self.mesh, self.rules.rules),
      pin=place.pinned(
        self.described, rules=self.rules.placed["gradients"], mesh=self.mesh
      ),
      batch_shards=self.batch_shards,
      ring=self.ring,
      split=self.split,
      stages=self.stages,
    )
    self._initial = initial(run, self.declared, self.transform)
    self.shardings = self._shardings()
    self.batch_sharding = place.batch_sharding(self.mesh, self.rules.rules)
    self.programs: dict[tuple, Future] = {}
    self._compiler = ThreadPoolExecutor(1, thread_name_prefix="compile")

  def _stages(self, spread: tuple[str, ...]) -> Stages | None:
    """Where layers are split over devices: those devices. Raises ValueError where the
    model or the batch cannot be cut accordingly."""
    axis = place.layer_axis(self.mesh, self.rules.rules)
    run, rules = self.run, self.rules.rules
    if axis is None:
      _check_no_stages(run)
      return None
    # A stage sees one group's rows: they are split already.
    within = tuple(rule for rule in rules if rule[0] != "batch")
    stages = Stages(
      mesh=self.mesh,
      axis=axis,
      rows=tuple(name for name in spread if name != axis),
      constrain=place.constrainer(self.mesh, within),
      repeats=run.execution.pipeline_repeats or 1,
    )
    if self.ring is not None:
      raise ValueError(
        f"Rules {run.rules!r} split layers and the tokens of rows. Use one of them."
      )
    for side in ("encoder", "decoder"):
      if hasattr(run.model, side):
        check_stages(getattr(run.model, side), stages.count, stages.repeats)
    of_rows = getattr(run.model, "of_rows", ())
    if of_rows and run.execution.pipeline_schedule == "1f1b":
      raise ValueError(
        "Execution.pipeline_schedule='1f1b' has losses computed token by token, and "
        f"{', '.join(of_rows)} are losses of whole rows. Use 'gpipe'."
      )
    asked = run.execution.pipeline_microbatches
    microbatches_of(stages, asked, run.batch // run.microbatches)
    return stages

  def _shardings(self) -> TrainState:
    abstract = jax.eval_shape(self._initial)
    away = host_memory() if OPTIMIZER in self.run.execution.offload else None

    def placed(field: str, part: object, memory: str | None = None) -> object:
      rules = self.rules.placed[field]
      return place.state_shardings(
        self.described, part, rules=rules, mesh=self.mesh, memory=memory
      )

    return TrainState(
      step=placed("state", abstract.step),
      params=placed("rules", abstract.params),
      opt_state=placed("state", abstract.opt_state, away),
      extra=placed("state", abstract.extra),
    )

  def abstract_state(self) -> TrainState:
    """Shapes, dtypes and shardings of the state; what a checkpoint is restored into."""
    return jax.tree.map(
      lambda leaf, s: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=s),
      jax.eval_shape(self._initial),
      self.shardings,
    )

  def abstract_params(self) -> dict:
    """Parameters to compute with, however they are stored: float32, sharded."""
    return jax.tree.map(
      lambda leaf: jax.ShapeDtypeStruct(
        leaf.shape, jnp.float32, sharding=leaf.sharding
      ),
      self.abstract_state().params,
    )

  def initial_state(self) -> TrainState:
    """The state before the first step, drawn in place: the same on any mesh."""
    # Used once: on a CPU, compiling it with all optimizations takes longer than they
    # save, by seconds.
    quick = {"xla_backend_optimization_level": 1}
    options = quick if jax.default_backend() == "cpu" else None
    draw = jax.jit(
      self._initial, out_shardings=self.shardings, compiler_options=options
    )
    return draw()

  def with_params(self, state: TrainState, params: dict) -> TrainState:
    """`state` with other parameters; an average of parameters starts from them too."""
    extra = state.extra
    if "ema" in extra:
      extra = extra | {"ema": jax.tree.map(jnp.copy, rounding.widened(params))}
    return dataclasses.replace(state, params=params, extra=extra)

  def train_step(
    self, state: TrainState, batch: dict[str, jax.Array]
  ) -> tuple[TrainState, step.Metrics]:
    """(state, metrics) after a step; the old state's memory is reused."""
    shapes = {name: array.shape for name, array in batch.items()}
    return self.compile(shapes).result()(state, batch)

  def compile(self, shapes: dict[str, tuple[int, ...]]) -> Future:
    """The program of the training step for batches of these shapes, once it is there.

    It is compiled in the background: drawing the first state takes as long.
    """
    key = tuple(sorted(shapes.items()))
    if key not in self.programs:
      self.programs[key] = self._compiler.submit(self._compile, shapes)
    return self.programs[key]

  def _compile(self, shapes: dict[str, tuple[int, ...]]) -> jax.stages.Compiled:
    train_step = jax.jit(
      self._train_step,
      donate_argnums=0,
      out_shardings=(self.shardings, None),
    )
    batch = abstract_batch(shapes, self.batch_sharding)
    return train_step.lower(self.abstract_state(), batch).compile()

  def _train_step(self, state: TrainState, batch: dict) -> tuple:
    """`step.train_step`, of a state whose optimizer may lie in the host's memory."""
    if OPTIMIZER in self.run.execution.offload:
      near = jax.tree.map(lambda s: s.with_memory_kind("device"), self.shardings)
      fetched = jax.device_put(state.opt_state, near.opt_state)
      state = dataclasses.replace(state, opt_state=fetched)
    return step.train_step(self.plan, state, batch)

  @functools.cached_property
  def eval_step(self):
    """(params, batch) -> sums over the batch."""
    return jax.jit(functools.partial(step.eval_step, self.plan))

  @functools.cached_property
  def parameter_norm(self):
    """params -> global norm; asked for when a line is logged, not every step."""
    return jax.jit(step.parameter_norm)

  def put(self, batch: dict[str, np.ndarray]) -> dict[str, jax.Array]:
    """The rows of a global batch that `rows` names, placed on the mesh."""
    if jax.process_count() == 1:
      return jax.device_put(batch, self.batch_sharding)
    return {name: self._put(rows) for name, rows in batch.items()}

  def rows(self, batch: int) -> slice:
    """Of a global batch of so many rows, those that this process makes."""
    return place.held_rows(self.batch_sharding, batch)

  @functools.cached_property
  def share(self) -> float:
    """Of all rows, how many this process makes; more than its part where some are also
    made by others."""
    own = self.rows(self.run.batch)
    return (own.stop - own.start) / self.run.batch

  def _put(self, own: np.ndarray) -> jax.Array:
    shape = (round(len(own) / self.share), *own.shape[1:])
    first = self.rows(shape[0]).start

    def part(index: tuple[slice, ...]) -> np.ndarray:
      start, stop, _ = index[0].indices(shape[0])
      return own[start - first : stop - first]

    return jax.make_array_from_callback(shape, self.batch_sharding, part)

  def kernels(self, lengths: dict[str, int]) -> dict[str, str]:
    """Attention kernels of this run, by side and part; see kernels.py."""
    rows, execution = self.run.batch // self.run.microbatches, self.run.execution
    where = {"batch_shards": self.batch_shards, "ring": self.ring, "split": self.split}
    if self.stages is not None:
      # What a stage computes at once, as `stack.py` passes it on.
      parts = microbatches_of(self.stages, execution.pipeline_microbatches, rows)
      rows, where = rows // (parts * self.stages.groups), {}
    return kernels.report(
      self.run.model, execution, lengths=lengths, rows=rows, **where
    )


def initial(
  run: Run, declared: dict[str, param.Declared], transform: optax.GradientTransformation
) -> Callable[[], TrainState]:
  """What draws the state of a run before its first step."""
  return functools.partial(
    states.initial,
    declared,
    transform,
    seed=run.seed,
    ema=run.ema is not None,
    loss_scale=run.loss_scale,
    rounding=run.rounding,
  )


def abstract_batch(
  shapes: dict[str, tuple[int, ...]], sharding: jax.sharding.Sharding | None = None
) -> dict[str, jax.ShapeDtypeStruct]:
  """Batches of these shapes: weights are float32, everything else int32."""

  def dtype(name: str) -> jnp.dtype:
    return jnp.float32 if name.endswith("weights") else jnp.int32

  return {
    name: jax.ShapeDtypeStruct(shape, dtype(name), sharding=sharding)
    for name, shape in shapes.items()
  }


def _check_no_stages(run: Run) -> None:
  """ValueError for settings of a pipeline where there is none."""
  for name, value in PIPELINE.items():
    if (given := getattr(run.execution, name)) != value:
      raise ValueError(
        f"Execution.{name}={given!r} changes nothing: layers are not in stages. Use "
        "partitioning/pipeline.gin (PARTITIONING_RULES 'pipeline', Mesh.pipeline of 2 or "
        f"more), or leave {name} out."
      )


def _check_batch(run: Run, shards: int, spread: tuple[str, ...]) -> None:
  rows = run.batch // run.microbatches
  if run.batch % run.microbatches or rows % shards:
    raise ValueError(
      f"BATCH_SIZE={run.batch} does not divide over {run.microbatches} microbatches "
      f"of rows on {shards} devices (mesh axes {', '.join(spread)}). Use a multiple "
      f"of {run.microbatches * shards}, or change Run.microbatches or the mesh."
    )

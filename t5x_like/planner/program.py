"""Program: what XLA makes of a run for devices that are only simulated.

You are in: t5x_like/planner. Upstream: a `Run` and as many simulated CPU devices as the
target has. The training step is compiled ahead of time, with all of its layers; nothing
is allocated. Equal layers are one loop of a program, so many take as long to compile as
few. (To compile few and extend them is slower, and wrong about memory: another moment may
be the worst one of many layers.)
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import math
import pathlib
import tempfile
from collections.abc import Iterator

import jax
from jax.experimental.compilation_cache import compilation_cache

from models.components.attend_blockwise import block
from models.components.param import flatten
from partitioning.mesh import NAMES as AXES
from t5x_like import inspect, step
from t5x_like.engine import Engine, abstract_batch
from t5x_like.planner import hlo
from t5x_like.run import Run

# Only LLVM's part is left out: XLA plans memory and communication as ever.
QUICK = {"xla_backend_optimization_level": 0}

Moved = dict[tuple[str, tuple[str, ...]], float]  # (kind, mesh axes) -> bytes a step


@dataclasses.dataclass(frozen=True)
class Program:
  """Per device and step. flops: of matrix products. moved: bytes that collectives take
  part in, by kind and mesh axes. state: bytes of parameters, optimizer and averages.
  gradients: bytes of those, among the temporary ones. temporary: bytes besides the state,
  at the worst moment.
  """

  flops: float
  moved: Moved
  state: float
  gradients: float
  temporary: float


def compiled(run: Run) -> Program:
  """What XLA says of this run's own training step.

  A CPU has no 16-bit products: XLA widens what they read, whole stacks of saved
  activations too. So temporaries of a 16-bit run are those of the same run in float32,
  gradients aside, halved.
  """
  found = _compiled(run)
  if run.execution.compute_dtype == "float32":
    return found
  wide = dataclasses.replace(run.execution, compute_dtype="float32")
  whole = _compiled(dataclasses.replace(run, execution=wide))
  rest = max(0, whole.temporary - whole.gradients)
  return dataclasses.replace(found, temporary=whole.gradients + rest / 2)


def _compiled(run: Run) -> Program:
  engine = Engine(dataclasses.replace(run, compilation_cache=False))
  shapes = inspect.batch_shapes(run)
  train = jax.jit(
    functools.partial(step.train_step, engine.plan),
    donate_argnums=0,
    out_shardings=(engine.shardings, None),
  )
  batch = abstract_batch(shapes, engine.batch_sharding)
  lowered = train.lower(engine.abstract_state(), batch)
  with _uncached(), tempfile.TemporaryDirectory() as folder:
    options = QUICK | {
      "xla_dump_to": folder,
      "xla_dump_hlo_pass_re": "spmd-partitioning",
    }
    memory = lowered.compile(compiler_options=options).memory_analysis()
    text = _partitioned(pathlib.Path(folder))
  mesh = tuple(engine.mesh.shape[axis] for axis in AXES)
  moved: Moved = {}
  permutes: dict[tuple, list] = {}
  for one in hlo.collectives(text):
    axes = mesh_axes(one.group, mesh)
    if axes and one.pairs:
      permutes.setdefault((one.kind, axes), []).append(one)
    elif axes:
      key = (one.kind, axes)
      moved[key] = moved.get(key, 0) + one.bytes * one.times
  moved |= {key: hlo.busiest(found) for key, found in permutes.items()}
  return Program(
    flops=hlo.product_flops(text, open_turns=_causal_blocks(shapes)),
    moved=moved,
    state=memory.argument_size_in_bytes,
    gradients=inspect.bytes_of(engine.abstract_params()),
    temporary=memory.temp_size_in_bytes
    + memory.output_size_in_bytes
    - memory.alias_size_in_bytes,
  )


@contextlib.contextmanager
def _uncached() -> Iterator[None]:
  """A program that comes from the cache is not partitioned, so nothing is written."""
  before = jax.config.jax_enable_compilation_cache
  jax.config.update("jax_enable_compilation_cache", False)
  compilation_cache.reset_cache()
  try:
    yield
  finally:
    jax.config.update("jax_enable_compilation_cache", before)
    compilation_cache.reset_cache()


def _causal_blocks(shapes: dict[str, tuple[int, ...]]) -> float:
  """Key blocks that a query block of causal attention sees on average: the one loop
  whose length a program decides as it runs."""
  length = shapes.get("decoder_input_tokens", (0, 1))[1]
  return (length // block(length) + 1) / 2


def mesh_axes(group: tuple[int, ...], mesh: tuple[int, ...]) -> tuple[str, ...]:
  """Names of the mesh axes in which a group's devices differ; all for an empty one."""
  if not group:
    return tuple(a for a, size in zip(AXES, mesh, strict=True) if size > 1)
  places = [_place(device, mesh) for device in group]
  return tuple(
    axis for at, axis in enumerate(AXES) if len({place[at] for place in places}) > 1
  )


def replicated(engine: Engine, *, largest: int = 5) -> list[tuple[str, int]]:
  """(path, bytes) of the largest parameters that every device holds whole."""
  found = []
  for path, placed in _flat(engine):
    whole = math.prod(placed.shape)
    if math.prod(placed.sharding.shard_shape(placed.shape)) == whole:
      found.append((path, whole * placed.dtype.itemsize))
  return sorted(found, key=lambda row: -row[1])[:largest]


def _flat(engine: Engine) -> Iterator[tuple[str, jax.ShapeDtypeStruct]]:
  return iter(flatten(engine.abstract_state().params).items())


def _place(device: int, mesh: tuple[int, ...]) -> tuple[int, ...]:
  place = []
  for size in reversed(mesh):
    device, at = divmod(device, size)
    place.append(at)
  return tuple(reversed(place))


def _partitioned(folder: pathlib.Path) -> str:
  files = sorted(folder.glob("*train_step*after_spmd-partitioning*.txt"))
  if files:
    return files[-1].read_text()
  # One device: nothing is partitioned, and nothing has to be.
  files = sorted(folder.glob("*train_step*before_optimizations.txt"))
  return files[-1].read_text()

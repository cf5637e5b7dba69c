"""Stack: blocks in order. Equal blocks are stored stacked and run as one scanned loop.

You are in: models/components. Families write `layers * (block,)`; equal neighbours and
repeating patterns are found here by spec equality. Parameters are stacked per run of
equal blocks whether the loop is scanned or unrolled, so `Execution` never changes what
is on disk.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx

from models.components.alternating import Factors, alternating
from models.components.bias import ALiBi
from models.components.context import Context
from models.components.param import stacked
from models.components.pipeline import ROWS, microbatches_of, pipelined
from models.components.position import RelativeBias
from models.components.recompute import rematerialized, staged
from models.components.spec import spec


@spec
class Stack:
  """Blocks, an optional final norm, and a position bias that all layers share."""

  blocks: tuple
  final_norm: object = None
  position: RelativeBias | ALiBi | None = None

  def build(self, dim: int) -> StackLayer:
    return StackLayer(self, dim)


def runs(blocks: tuple) -> list[tuple[int, int, int]]:
  """Splits blocks into (first, period, count) runs, longest cover first.

  (a, a, a, b) -> [(0, 1, 3), (3, 1, 1)]; (a, b, a, b, c) -> [(0, 2, 2), (4, 1, 1)].
  """
  found, at = [], 0
  while at < len(blocks):
    best = (1, 1)
    for period in range(1, (len(blocks) - at) // 2 + 1):
      pattern = blocks[at : at + period]
      count = 1
      while blocks[at + count * period : at + (count + 1) * period] == pattern:
        count += 1
      if count > 1 and count * period > best[0] * best[1]:
        best = (period, count)
    found.append((at, *best))
    at += best[0] * best[1]
  return found


class StackLayer(nnx.Module):
  """x_BTD -> (x_BTD, cache, aux). Run `i` lives in `blocks_<number of its first layer>`."""

  def __init__(self, spec: Stack, dim: int):
    self.runs = tuple(runs(spec.blocks))
    for first, period, count in self.runs:
      for offset in range(period):
        layers = tuple(range(first + offset, first + period * count, period))
        block = spec.blocks[first + offset].build(dim)
        setattr(self, f"blocks_{first + offset}", stacked(block, layers))
    heads = spec.blocks[0].attention.heads
    self.position = spec.position.build(heads) if spec.position else None
    self.final_norm = spec.final_norm.build(dim) if spec.final_norm else None

  def __call__(
    self, x_BTD: jax.Array, ctx: Context, cache: dict | None = None
  ) -> tuple[jax.Array, dict | None, dict]:
    if cache is not None and ctx.stages is not None:
      raise ValueError(
        "One token after another leaves all stages but one without work: decode without "
        "a pipeline (Mesh.pipeline = 1)."
      )
    if self.position is not None:
      ctx = _with_bias(ctx, self.position, x_BTD.shape[1], cache)
    new_cache, aux = {}, {}
    for run in self.runs:
      x_BTD, run_cache, run_aux = self._run(run, x_BTD, ctx, cache)
      new_cache |= run_cache
      aux = added(aux, run_aux)
    x_BTD = self._finished(x_BTD, ctx)
    return x_BTD, (new_cache if cache is not None else None), aux

  def scored(
    self,
    x_BTD: jax.Array,
    ctx: Context,
    score: Callable,
    answers: dict,
    factors: Factors,
  ) -> tuple[jax.Array, dict, dict]:
    """(objective, sums, aux): what `score` makes of x_BTD, while the last run of layers
    is computed stage by stage (`alternating.py`, which says what the arguments are)."""
    if self.position is not None:
      ctx = _with_bias(ctx, self.position, x_BTD.shape[1], None)
    aux = {}
    for run in self.runs[:-1]:
      x_BTD, _, run_aux = self._run(run, x_BTD, ctx, None)
      aux = added(aux, run_aux)

    def tail(x_BTD, rows, answers, part):
      x_BTD = self._finished(x_BTD, _in_stage(ctx, rows))
      return score(x_BTD, answers, part)

    graphs, layers = self._split(self.runs[-1])
    total, sums, last = alternating(
      ctx.stages,
      _parts(ctx, x_BTD),
      _stage(graphs, ctx),
      tail,
      layers,
      ctx.bias,
      {"x": x_BTD} | ctx.by_row(),
      answers,
      factors,
    )
    # Those of the last run are in the objective already.
    total = total + factors.aux * sum(aux.values())
    return total, sums, added(aux, last)

  def _finished(self, x_BTD: jax.Array, ctx: Context) -> jax.Array:
    if self.final_norm is None:
      return x_BTD
    return ctx.drop(self.final_norm(x_BTD), "final")

  def _split(self, run: tuple[int, int, int]) -> tuple[dict, tuple]:
    """(graphs by name, (numbers, parameters)) of a run of equal periods."""
    first, period, count = run
    names = [f"blocks_{first + offset}" for offset in range(period)]
    graphs, params = zip(*(nnx.split(getattr(self, n)) for n in names), strict=True)
    graphs = dict(zip(names, graphs, strict=True))
    return graphs, (first + period * jnp.arange(count), params)

  def _run(self, run, x_BTD, ctx, cache):
    """One run of equal periods, on all devices or stage by stage."""
    graphs, layers = self._split(run)
    if ctx.stages is not None:
      return _staged(graphs, layers, x_BTD, ctx)
    old = None if cache is None else {name: cache[name] for name in graphs}
    return _layers(graphs, (*layers, old), x_BTD, ctx)

  def empty_cache(self, batch: int, length: int, dtype: object) -> dict:
    """Zeroed self-attention caches of every run, stacked like the parameters."""
    caches = {}
    for first, period, count in self.runs:
      for offset in range(period):
        name = f"blocks_{first + offset}"
        shapes = getattr(self, name).empty_cache(batch, length, dtype)
        caches[name] = {
          "self": {k: jnp.zeros((count, *s.shape), s.dtype) for k, s in shapes.items()}
        }
    return caches

  def cross_cache(self, memory_BSD: jax.Array) -> dict:
    """Keys and values of the encoder's output for every layer that looks at it."""
    caches = {}
    for first, period, _ in self.runs:
      for offset in range(period):
        name = f"blocks_{first + offset}"
        if getattr(self, name).cross is None:
          caches[name] = {}
          continue
        graph, params = nnx.split(getattr(self, name))

        def project(layer_params, graph=graph):
          return nnx.merge(graph, layer_params).cross.project(memory_BSD)

        caches[name] = {"cross": jax.lax.map(project, params)}
    return caches


def _layers(
  graphs: dict[str, nnx.GraphDef], layers: tuple, x_BTD: jax.Array, ctx: Context
) -> tuple[jax.Array, dict, dict]:
  """(numbers, parameters, caches) of equal periods: a scan, or the same body in a Python
  loop. graphs: the blocks of a period, by name."""

  def body(x_BTD, layer):
    number, layer_params, layer_cache = layer
    new_cache, aux = {}, {}
    for offset, (name, graph) in enumerate(graphs.items()):
      block = nnx.merge(graph, layer_params[offset])
      block_cache = None if layer_cache is None else layer_cache[name]
      x_BTD, new_cache[name], block_aux = block(
        x_BTD, ctx.layer(number + offset), block_cache
      )
      aux = {k: aux.get(k, 0.0) + v for k, v in block_aux.items()}
    return x_BTD, (new_cache, aux)

  count = layers[0].shape[0]
  scanned = ctx.execution.scan and count > 1
  body = rematerialized(body, ctx.execution, scanned=scanned)
  if scanned:
    x_BTD, (new_cache, aux) = jax.lax.scan(body, x_BTD, layers)
  else:
    ys = []
    for i in range(count):
      x_BTD, y = body(x_BTD, jax.tree.map(lambda leaf, i=i: leaf[i], layers))
      ys.append(y)
    new_cache, aux = jax.tree.map(lambda *leaves: jnp.stack(leaves), *ys)
  return x_BTD, new_cache, {k: jnp.sum(v) for k, v in aux.items()}


def _staged(
  graphs: dict[str, nnx.GraphDef], layers: tuple, x_BTD: jax.Array, ctx: Context
) -> tuple[jax.Array, dict, dict]:
  """The same, each stage on devices of its own (`pipeline.py`)."""
  kept = staged(ctx.execution, ctx.stages.repeats)
  rows = {"x": x_BTD} | ctx.by_row()
  x_BTD, aux = pipelined(
    ctx.stages, _parts(ctx, x_BTD), _stage(graphs, ctx), kept, layers, ctx.bias, rows
  )
  return ctx.constrain(x_BTD, ("batch", "length", "embed")), {}, aux


def _parts(ctx: Context, x_BTD: jax.Array) -> int:
  asked = ctx.execution.pipeline_microbatches
  return microbatches_of(ctx.stages, asked, x_BTD.shape[0])


def _stage(graphs: dict[str, nnx.GraphDef], ctx: Context) -> Callable:
  """What a stage computes, as `pipelined` calls it."""

  def stage(layers, bias, rows):
    own = dataclasses.replace(_in_stage(ctx, rows), bias=bias)
    x_BTD, _, aux = _layers(graphs, (*layers, None), rows["x"], own)
    return x_BTD, aux

  return stage


def _in_stage(ctx: Context, rows: dict[str, jax.Array]) -> Context:
  """The context of some rows in one stage."""
  return dataclasses.replace(
    ctx.with_rows(rows),
    constrain=ctx.stages.constrain,
    batch_shards=1,
    split=None,
    rows_axis=ROWS,
  )


def added(aux: dict[str, jax.Array], more: dict[str, jax.Array]) -> dict:
  """Extra losses of both, by name; in one order, for processes trace the same program."""
  names = sorted(aux.keys() | more.keys())
  return {name: aux.get(name, 0.0) + more.get(name, 0.0) for name in names}


def check_stages(stack: object, stages: int, repeats: int = 1) -> None:
  """ValueError where the layers of a stack cannot be cut into equal stages."""
  if type(stack) is not Stack:
    raise ValueError(
      f"A {type(stack).__name__} has no layers of its own to cut into {stages} stages. "
      "Set Mesh.pipeline = 1."
    )
  for first, period, count in runs(stack.blocks):
    if count % (stages * repeats):
      what = "equal layers" if period == 1 else f"equal groups of {period} layers"
      pieces = f" of {repeats} pieces" * (repeats > 1)
      raise ValueError(
        f"{count} {what}, from layer {first} on, do not divide over {stages} stages"
        f"{pieces}. Change Mesh.pipeline, Execution.pipeline_repeats, or the layers of "
        "the model."
      )


def cache_length(cache: dict) -> int:
  """Tokens a row that a decoder's cache has room for."""
  own = next(iter(cache.values()))["self"]
  return next(iter(own.values())).shape[2]


def _with_bias(ctx: Context, position, queries: int, cache: dict | None) -> Context:
  """The shared bias, computed once per forward pass."""
  if cache is None:
    return dataclasses.replace(ctx, bias=position(queries, queries))
  index_BT = ctx.index_B[:, None] + jnp.arange(queries)
  bias = position.at(index_BT, cache_length(cache))
  return dataclasses.replace(ctx, bias=bias)

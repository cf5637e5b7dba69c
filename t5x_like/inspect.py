"""Inspect: what a configuration means, before anything is trained.

You are in: t5x_like. Used by the verb `inspect` and by --dry_run. `run_report` and
`model_report` are plain dictionaries (what --json prints); the rest is layout. Nothing
is allocated on a device and no data is read: a 100B model is described in seconds.
"""

from __future__ import annotations

import dataclasses
import json
import math
import sys
from collections.abc import Iterable

import jax
import jax.numpy as jnp

from models.components import flops, param, recompute, spec
from models.components.context import unconstrained
from models.components.pipeline import microbatches_of
from models.components.pipeline_schedule import Schedule
from t5x_like import losses, step
from t5x_like.engine import abstract_batch

MIB, GIB = 2**20, 2**30


def show_run(run: object, *, config_text: str, as_json: bool) -> None:
  """Prints everything about a run to standard output."""
  report = run_report(run, config_text=config_text)
  _show(report, as_json)


def show_model(model: object, *, as_json: bool) -> None:
  """Prints everything about a model alone."""
  _show(model_report(model), as_json)


def model_report(model: object) -> dict[str, object]:
  """{"model": folded spec, "parameters": rows, "total": count}."""
  declared = param.declarations(model)
  return {
    "model": spec.fold(model),
    "parameters": [_row(path, d, None) for path, d in declared.items()],
    "total": sum(d.size for d in declared.values()),
  }


def run_report(run: object, *, config_text: str) -> dict[str, object]:
  """`model_report`, and the configuration, placement, memory and FLOPs of a run."""
  from t5x_like.engine import Engine

  engine = Engine(run)
  shardings = param.flatten(engine.shardings.params)
  rows = [_row(path, d, shardings[path].spec) for path, d in engine.declared.items()]
  shapes = batch_shapes(run)
  lengths = model_lengths(shapes)
  return {
    "config": config_text,
    "model": spec.fold(run.model),
    "parameters": rows,
    "total": sum(row["count"] for row in rows),
    "mesh": dict(engine.mesh.shape),
    "batch": {name: list(shape) for name, shape in shapes.items()},
    "kernels": engine.kernels(lengths),
    "memory": memory(engine, shapes),
    "flops": flops.step_flops(run.model, batch=run.batch, lengths=lengths),
  }


def batch_shapes(run: object) -> dict[str, tuple[int, int]]:
  """Shapes of a global batch's arrays."""
  return run.task.shapes(run.lengths, run.batch)


def model_lengths(shapes: dict[str, tuple[int, int]]) -> dict[str, int]:
  """Tokens of a row, by side of the model."""
  return {
    side: shapes[f"{side}_input_tokens"][1]
    for side in ("encoder", "decoder")
    if f"{side}_input_tokens" in shapes
  }


def memory(engine, shapes: dict[str, tuple[int, int]]) -> dict[str, int]:
  """Bytes on the device that holds most, by what they are for.

  All but `activations` is exact. Gradients are float32 and placed like parameters.
  """
  state = engine.abstract_state()
  parts = {
    "parameters": bytes_of(state.params),
    "optimizer state": bytes_of(state.opt_state),
    "averaged parameters": bytes_of(state.extra.get("ema", {})),
    "gradients": bytes_of(engine.abstract_params()),
    "activations (estimated)": activation_bytes(engine, shapes),
  }
  parts = {name: size for name, size in parts.items() if size}
  return parts | {"total": sum(parts.values())}


def activation_bytes(engine, shapes: dict[str, tuple[int, int]]) -> int:
  """Estimated bytes that one device keeps from the forward to the backward pass.

  What the traced backward pass receives, without the parameters in it, for the rows of
  one microbatch on one device; as much as one block keeps, twice with
  rematerialization, for what its gradient computes again; and the logits of one chunk of
  the loss with their gradient. A `tensor` axis is not taken into account; a stage of a
  pipeline keeps a part of the layers for as many times the rows. XLA's own
  figure (memory_analysis of the compiled gradient) was within 15 %.
  """
  run = engine.run
  rows = run.batch // run.microbatches // engine.batch_shards
  plan = dataclasses.replace(
    engine.plan,
    execution=recompute.without_offload(run.execution),
    constrain=unconstrained,
    pin=lambda tree: tree,
    batch_shards=1,
    ring=None,
    split=None,
    stages=None,
  )
  if engine.plan.alternates:
    return _alternating_bytes(engine, plan, shapes, rows * engine.stages.count)
  kept = residual_bytes(plan, engine.declared, shapes, rows)
  blocks = _blocks(run.model)
  if run.execution.remat == "none":
    kept += kept // blocks
  else:
    plain = dataclasses.replace(plan.execution, remat="none", pipeline_repeats=None)
    all_of_it = residual_bytes(
      dataclasses.replace(plan, execution=plain), engine.declared, shapes, rows
    )
    kept += 2 * (all_of_it - kept) // blocks
  return kept + _logits_bytes(engine, shapes, rows, engine.batch_shards)


def _alternating_bytes(engine, plan: step.Plan, shapes: dict, rows: int) -> int:
  """The same for a stage that computes one microbatch of `rows` at a time, while inputs of
  others wait."""
  stages, execution = engine.stages, engine.run.execution
  parts = microbatches_of(stages, execution.pipeline_microbatches, rows * stages.groups)
  rows //= parts
  kept = residual_bytes(plan, engine.declared, shapes, rows) // stages.count
  tokens = shapes[f"{engine.module.answers}_input_tokens"][1]
  width = engine.run.model.dim * jnp.dtype(execution.compute_dtype).itemsize
  waiting = Schedule(stages.count, parts, stages.repeats).slots
  kept += waiting * rows * tokens * width
  return kept + _logits_bytes(engine, shapes, rows, 1)


def _logits_bytes(engine, shapes: dict, rows: int, batch_shards: int) -> int:
  """One chunk of the loss: logits and their gradient, float32."""
  vocab = engine.run.model.vocab
  tokens = rows * shapes[f"{engine.module.answers}_input_tokens"][1]
  return 2 * 4 * vocab * min(tokens, losses.chunk_tokens(vocab, batch_shards))


def residual_bytes(plan: step.Plan, declared: dict, shapes: dict, rows: int) -> int:
  """Of so many rows, what the traced backward pass gets from the forward pass, without
  parameters."""
  params = param.nested(
    {path: jax.ShapeDtypeStruct(d.shape, jnp.float32) for path, d in declared.items()}
  )
  batch = abstract_batch({name: (rows, *shape[1:]) for name, shape in shapes.items()})

  def backward(params, batch, key):
    return jax.vjp(lambda p: step.objective(plan, p, batch, key)[0], params)[1]

  key = jax.eval_shape(lambda: jax.random.key(0))
  # The backward function is a pytree whose leaves are the arrays it will need.
  found = jax.tree.leaves(jax.eval_shape(backward, params, batch, key))
  known = [(leaf.shape, leaf.dtype) for leaf in jax.tree.leaves(params)]
  total = 0
  for leaf in found:
    if (leaf.shape, leaf.dtype) in known:
      known.remove((leaf.shape, leaf.dtype))  # a parameter itself, counted as such
    else:
      total += _size(leaf)
  return total


def _blocks(model: object) -> int:
  stacks = (getattr(model, side, None) for side in ("encoder", "decoder"))
  return sum(len(stack.blocks) for stack in stacks if stack is not None)


def _size(leaf: jax.ShapeDtypeStruct) -> int:
  wide = 8 if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf.dtype.itemsize
  return math.prod(leaf.shape) * wide


def bytes_of(tree: object) -> int:
  """Bytes of a tree of placed ShapeDtypeStructs in one device's own memory."""
  return sum(
    math.prod(leaf.sharding.shard_shape(leaf.shape)) * leaf.dtype.itemsize
    for leaf in jax.tree.leaves(tree)
    if leaf.sharding.memory_kind in (None, "device")
  )


def _row(path: str, declared: param.Declared, placed: object) -> dict[str, object]:
  row = {
    "path": path,
    "shape": list(declared.shape),
    "axes": list(declared.axes),
    "count": declared.size,
  }
  if placed is not None:
    parts = [*placed, *[None] * (len(declared.shape) - len(placed))]
    row["sharding"] = [
      list(part) if isinstance(part, tuple) else part for part in parts
    ]
  return row


def _show(report: dict[str, object], as_json: bool) -> None:
  if as_json:
    print(json.dumps(report))
    return
  if "config" in report:
    print(report["config"])
  print(f"# Model\n{report['model']}\n")
  _parameter_table(report["parameters"])
  print(f"\nparameters      {report['total']:,}")
  if "memory" not in report:
    return
  mesh = " x ".join(f"{name} {size}" for name, size in report["mesh"].items())
  print(f"mesh            {mesh}")
  for name, shape in report["batch"].items():
    print(f"batch           {name} {shape}")
  for place, kernel in report["kernels"].items():
    print(f"kernel          {place}: {kernel}")
  print(f"FLOPs a step    {report['flops']:,} ({report['flops'] / 1e12:,.3f} TFLOP)")
  print("memory of one device:")
  for name, size in report["memory"].items():
    print(f"  {name:<24}{size_text(size):>12}")


def size_text(size: int) -> str:
  """Bytes for people."""
  return f"{size / GIB:,.2f} GiB" if size >= GIB else f"{size / MIB:,.2f} MiB"


def _parameter_table(rows: list[dict[str, object]]) -> None:
  names = [name for name in ("path", "shape", "axes", "sharding", "count")]
  names = [name for name in names if name in rows[0]]
  cells = [[_cell(row[name]) for name in names] for row in rows]
  if sys.stdout.isatty():
    from rich.console import Console
    from rich.table import Table

    table = Table(*names, title="Parameters")
    table.columns[-1].justify = "right"
    for row in cells:
      table.add_row(*row)
    Console().print(table)
    return
  print("# Parameters")
  print("\n".join(_aligned([names, *cells])))


def _cell(value: object) -> str:
  if isinstance(value, list):
    parts = ["+".join(p) if isinstance(p, list) else str(p or "-") for p in value]
    return " ".join(parts)
  return f"{value:,}" if isinstance(value, int) else str(value)


def _aligned(rows: list[list[str]]) -> Iterable[str]:
  """Columns padded to their widest cell; the last one, numbers, to the right."""
  widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
  for row in rows:
    *text, number = row
    cells = [cell.ljust(width) for cell, width in zip(text, widths[:-1], strict=True)]
    yield "  ".join([*cells, number.rjust(widths[-1])])

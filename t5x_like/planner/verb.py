"""The verb `plan`: what a run would cost on other devices, before it is paid for.

You are in: t5x_like/planner, the edge. Upstream: main.py, which has started JAX with as
many simulated devices as the target has. `report` is a plain dictionary, what --json
prints; the rest is layout.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys

from models.components import flops
from models.components.execution import PIPELINE, Execution
from t5x_like import inspect
from t5x_like.engine import Engine
from t5x_like.planner import chips, search
from t5x_like.planner.predict import predict
from t5x_like.planner.program import AXES, compiled, replicated
from t5x_like.run import Run

TRIES = 3  # programs compiled for each that is asked for, at most


def verb(arguments: argparse.Namespace, run: Run) -> int:
  """Prints the plan of a run, or the best few of a search."""
  chip = chips.chip(arguments.chip)
  run = accelerated(run)
  options = dict(name=arguments.chip, chip=chip, efficiency=arguments.efficiency)
  if not arguments.search:
    _print(report(run, **options), arguments.json)
    return 0
  found = []
  many = dict(devices=arguments.devices, efficiency=arguments.efficiency)
  for candidate in search.candidates(run, chip, **many):
    found.append(report(candidate, **options))
    print(_line(found[-1]), file=sys.stderr, flush=True)
    fits = sum(one["fits"] for one in found)
    if fits == arguments.search or len(found) == TRIES * arguments.search:
      break
  if not found:
    raise ValueError(
      f"No mesh of {arguments.devices} x {arguments.chip} cuts this model and batch. "
      "Change BATCH_SIZE (a multiple of the devices of data, fsdp and pipeline), or take "
      "another number of devices."
    )
  found.sort(key=lambda one: (not one["fits"], one["seconds"]))
  if arguments.json:
    print(json.dumps(found))
    return 0
  _print(found[0], False)
  if found[0]["fits"]:
    print("flags:  " + " ".join(_flags(found[0])))
  else:
    print(
      "none of these fits: take more devices, a smaller BATCH_SIZE, or "
      "run.Run.microbatches"
    )
  return 0


def _flags(report: dict) -> list[str]:
  """What to add to a command for the run that was planned."""
  found = [f"--gin.PARTITIONING_RULES={report['rules']}"]
  sizes = {axis: n for axis, n in report["mesh"].items() if n > 1 or axis == "data"}
  found += [f"--gin.mesh.Mesh.{axis}={size}" for axis, size in sizes.items()]
  execution = {"remat": report["remat"]} | report["pipeline"]
  return found + [f"--gin.execution.Execution.{k}={v}" for k, v in execution.items()]


def accelerated(run: Run) -> Run:
  """The run with attention as accelerators compute it, in blocks where it can be."""
  if run.execution.offload:
    raise ValueError(
      f"Execution.offload={run.execution.offload!r} cannot be planned: the plan is "
      "compiled for a CPU, where host and device are one memory. Set it to () to see "
      "what has to be stored altogether."
    )
  if run.execution.attention != "auto":
    return run
  lengths = run.task.layout.lengths(run.lengths).values()
  blocks = all(length % 128 == 0 for length in lengths) and not run.model.dropout
  kernel = "blockwise" if blocks else "einsum"
  return dataclasses.replace(
    run, execution=dataclasses.replace(run.execution, attention=kernel)
  )


def report(run: Run, *, name: str, chip: chips.Chip, efficiency: float) -> dict:
  """Everything that is known of the run on these devices; bytes and seconds."""
  engine = Engine(dataclasses.replace(run, compilation_cache=False))
  mesh = tuple(engine.mesh.shape[axis] for axis in AXES)
  devices = engine.mesh.size
  found = compiled(run)
  dtype = run.execution.compute_dtype
  cost = predict(found, chip, mesh=mesh, dtype=dtype, efficiency=efficiency)
  shapes = inspect.batch_shapes(run)
  lengths = inspect.model_lengths(shapes)
  useful = flops.step_flops(run.model, batch=run.batch, lengths=lengths)
  memory = inspect.memory(engine, shapes) if run.batch >= engine.batch_shards else {}
  exact = ("parameters", "optimizer state", "averaged parameters")
  parts = {part: memory[part] for part in exact if part in memory}
  tokens = run.batch * sum(lengths.values())
  return {
    "chip": name,
    "devices": devices,
    "mesh": dict(zip(AXES, mesh, strict=True)),
    "rules": run.rules if isinstance(run.rules, str) else "own",
    "remat": run.execution.remat,
    "attention": run.execution.attention,
    "pipeline": _pipeline(run.execution) if engine.stages else {},
    "parameters": sum(d.size for d in engine.declared.values()),
    "memory": parts | {"activations and temporaries": int(found.temporary)},
    "memory_total": int(found.state + found.temporary),
    "memory_of_chip": chip.memory,
    "fits": found.state + found.temporary <= chip.memory,
    "useful_flops": useful,
    "device_flops": int(found.flops),
    "moved": [
      {"kind": kind, "axes": list(axes), "bytes": int(size)}
      for (kind, axes), size in sorted(found.moved.items(), key=lambda item: -item[1])
    ],
    "compute_seconds": cost.compute,
    "memory_seconds": cost.memory,
    "hidden_network_seconds": cost.hidden,
    "exposed_network_seconds": cost.exposed,
    "seconds": cost.seconds,
    "bound": cost.bound,
    "utilization": useful / devices / chip.peak(dtype) / cost.seconds,
    "tokens_per_second": tokens / cost.seconds,
    "replicated": [{"path": path, "bytes": size} for path, size in replicated(engine)],
  }


def _pipeline(execution: Execution) -> dict[str, object]:
  """How stages compute, by field; what is left to its default is left out."""
  found = {name: getattr(execution, name) for name in PIPELINE}
  return {name: value for name, value in found.items() if value is not None}


def _print(report: dict, as_json: bool) -> None:
  if as_json:
    print(json.dumps(report))
    return
  size = inspect.size_text
  mesh = " x ".join(f"{name} {count}" for name, count in report["mesh"].items())
  print(
    f"{report['devices']} x {report['chip']}, mesh {mesh}, rules {report['rules']}, ",
    end="",
  )
  print(f"remat {report['remat']}, attention {report['attention']}")
  if report["pipeline"]:
    print(", ".join(f"{name} {value}" for name, value in report["pipeline"].items()))
  print(f"{report['parameters']:,} parameters")
  print("memory of one device:")
  for name, count in report["memory"].items():
    print(f"  {name:<30}{size(count):>12}")
  verdict = "fits" if report["fits"] else "does not fit"
  total, has = size(report["memory_total"]), size(report["memory_of_chip"])
  print(f"  {'total':<30}{total:>12}  of {has}: {verdict}")
  print("collectives of a step, bytes that one device takes part in:")
  for row in report["moved"]:
    if row["bytes"] >= 2**20:
      print(f"  {row['kind']:<20}{' + '.join(row['axes']):<16}{size(row['bytes']):>12}")
  for row in report["replicated"]:
    if row["bytes"] >= 2**20 and report["devices"] > 1:
      print(f"on every device: {row['path']} {size(row['bytes'])}")
  print("a step, predicted:")
  for key, words in (
    ("compute_seconds", "products"),
    ("memory_seconds", "memory"),
    ("hidden_network_seconds", "network, beside the products"),
    ("exposed_network_seconds", "network, between the products"),
  ):
    print(f"  {words:<30}{report[key]:>10.3f} s")
  print(
    f"  {'step':<30}{report['seconds']:>10.3f} s  bound by {report['bound']}; "
    f"{100 * report['utilization']:.0f} % of the peak; "
    f"{report['tokens_per_second']:,.0f} tokens/s"
  )


def _line(report: dict) -> str:
  sizes = [f"{name} {size}" for name, size in report["mesh"].items() if size > 1]
  mesh = " x ".join(sizes) or "one device"
  fits = "" if report["fits"] else ", does not fit"
  return (
    f"{report['seconds']:.3f} s a step, {100 * report['utilization']:.0f} % of the peak, "
    f"bound by {report['bound']}{fits}: {mesh}, {report['rules']}, remat {report['remat']}"
  )

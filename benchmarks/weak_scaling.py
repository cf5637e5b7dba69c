"""Weak scaling by plan: a step's predicted seconds from few devices to many.

  python benchmarks/weak_scaling.py [--devices 8 64 512 2048] [--cases ...] [--json FILE]

Each device keeps its share of work (rows of a batch) while devices are added; nothing is
measured but programs that are really compiled for that many simulated devices, with
`t5x_like plan`. Two rows a case and count: minutes in all. "network-bound below" is the
batch a device, in tokens, at which exchanging weights and gradients of the batch's axes
takes as long as computing: the former does not shrink with the batch.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys

DECODER = ["--gin_file=runs/pretrain.gin"]
DECODER += ["--gin.MIXTURE_OR_TASK_NAME=python_docs_causal_lm"]
DECODER += ["--gin.TASK_FEATURE_LENGTHS={'targets': 4096}"]
BOTH = ["--gin.MODEL_DIR=unused", "--gin.TRAIN_STEPS=1000"]
BOTH += ["--gin.ACTIVATION_DTYPE=bfloat16", "--gin.execution.Execution.remat=full"]
# Name: (model, rules, devices of the inner axes, most devices that share one copy of the
# weights, rows a device).
CASES = {
  "1B data": ("llama3_2/1b", "data", {}, 1, 4),
  "1B zero2": ("llama3_2/1b", "zero2", {}, 1, 4),
  "1B fsdp": ("llama3_2/1b", "fsdp", {}, 512, 4),
  "13B fsdp": ("llama2/13b", "fsdp", {}, 512, 4),
  "13B tensor 8": ("llama2/13b", "fsdp_tensor_sequence", {"tensor": 8}, 512, 4),
  "13B pipeline 8": ("llama2/13b", "pipeline_fsdp", {"pipeline": 8}, 64, 4),
  "13B context 8": ("llama2/13b", "fsdp_context", {"context": 8}, 512, 4),
}
# One row a microbatch; stages compute their part again in any case.
STAGED = ["--gin.execution.Execution.pipeline_schedule=1f1b"]
STAGED += ["--gin.execution.Execution.pipeline_microbatches=32"]
STAGED += ["--gin.execution.Execution.remat=none"]


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--devices", type=int, nargs="+", default=[8, 64, 512, 2048])
  parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
  parser.add_argument("--chip", default="h100")
  parser.add_argument("--json", help="a file for the plans, one a line")
  options = parser.parse_args()
  counts = " | ".join(f"{count:,}" for count in options.devices)
  print(f"| {options.chip} | {counts} | network-bound below, tokens a device |")
  print("|---" * (len(options.devices) + 2) + "|")
  for name in options.cases:
    plans = {n: planned(name, n, options) for n in options.devices}
    cells = " | ".join(cell(plan) for plan in plans.values())
    print(f"| {name} | {cells} | {threshold(plans)} |", flush=True)


def planned(name: str, devices: int, options: argparse.Namespace) -> dict | None:
  """What `t5x_like plan --json` says; None where the mesh needs more devices."""
  model, rules, inner, shared, rows = CASES[name]
  group = 1
  for size in inner.values():
    group *= size
  if devices % group:
    return None
  fsdp = min(shared, devices // group)
  mesh = {"data": devices // group // fsdp, "fsdp": fsdp} | inner
  command = [sys.executable, "-m", "t5x_like.main", "plan", *DECODER, *BOTH]
  command[4:4] = [f"--gin_file=models/{model}.gin"]
  command += [f"--gin.mesh.Mesh.{axis}={size}" for axis, size in mesh.items()]
  command += [f"--gin.PARTITIONING_RULES={rules}"]
  command += STAGED if "pipeline" in inner else []
  command += [f"--gin.BATCH_SIZE={rows * devices}"]
  command += [f"--devices={devices}", f"--chip={options.chip}", "--json"]
  done = subprocess.run(command, capture_output=True, text=True, check=False)
  if done.returncode:
    sys.exit(f"{name} on {devices}: {done.stderr[-1000:]}")
  plan = json.loads(done.stdout.splitlines()[-1]) | {"case": name, "rows": rows}
  if options.json:
    with open(options.json, "a", encoding="utf-8") as file:
      file.write(json.dumps(plan) + "\n")
  return plan


def cell(plan: dict | None) -> str:
  """Seconds, share of the peak, what bounds the step; GiB where they are too many."""
  if plan is None:
    return ""
  fits = "" if plan["fits"] else f", {plan['memory_total'] / 2**30:.0f} GiB do not fit"
  peak = 100 * plan["utilization"]
  return f"{plan['seconds']:.2f} s, {peak:.0f} %, {plan['bound']}{fits}"


def threshold(plans: dict[int, dict | None]) -> str:
  """Tokens a device at which the hidden network would be the bound, at most devices."""
  plan = next(plan for plan in reversed(plans.values()) if plan is not None)
  if plan["exposed_network_seconds"] > plan["compute_seconds"]:
    return "always: products wait for it"
  tokens = plan["rows"] * 4096
  return f"{tokens * plan['hidden_network_seconds'] / plan['compute_seconds']:,.0f}"


if __name__ == "__main__":
  main()

"""What `t5x_like plan` says of memory, beside what a run takes here.

  python benchmarks/plan_memory.py [--cases ...]

float32, AdamW, everything on this machine's CPU, 2 steps. Each case in a fresh process:
`planned` is the plan's state and temporaries of all devices; `compiled` what XLA assigns to
the program that runs, with all optimizations; `measured` by how much the process grew,
from before the first state to the highest point (Linux).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys

from t5x_like import host

T5 = {"encoder": 512, "decoder": 128}
# Name: (row of the zoo, model lengths, rows, remat, rules, mesh).
CASES = {
  "t5_small": ("t5_1_1/small", T5, 8, "none", "data", {}),
  "t5_base": ("t5_1_1/base", T5, 8, "full", "data", {}),
  "gpt2": ("gpt2/small", {"decoder": 1024}, 4, "none", "data", {}),
  "gpt2_medium": ("gpt2/medium", {"decoder": 1024}, 2, "full", "data", {}),
  "t5_base_fsdp": ("t5_1_1/base", T5, 8, "none", "fsdp", {"fsdp": 8}),
  "t5_small_tensor": ("t5_1_1/small", T5, 8, "none", "tensor", {"tensor": 2}),
  "gpt2_1f1b": ("gpt2/small", {"decoder": 512}, 8, "none", "pipeline", {"pipeline": 4}),
}


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
  parser.add_argument("--one", help=argparse.SUPPRESS)
  options = parser.parse_args()
  if options.one:
    print(json.dumps(measured(options.one)))
    return
  print("| model, rules, devices | planned | compiled | measured |\n|---|---|---|---|")
  for case in options.cases:
    model, _, _, remat, rules, mesh = CASES[case]
    devices = count(mesh)
    flags = {"XLA_FLAGS": f"{host.DEVICES}{devices}", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
      [sys.executable, __file__, "--one", case],
      env=host.environment(os.environ | flags),
      stdout=subprocess.PIPE,
      text=True,
      check=True,
    )
    found = json.loads(done.stdout.splitlines()[-1])
    cells = [f"{found[name] / 2**30:.2f} GiB" for name in found]
    head = f"{model}, remat {remat}, `{rules}`, {devices}"
    print(f"| {head} | {' | '.join(cells)} |", flush=True)


def count(mesh: dict[str, int]) -> int:
  return max([1, *mesh.values()])


def measured(case: str) -> dict[str, float]:
  """Bytes of all simulated devices together."""
  model, lengths, rows, remat, rules, mesh = CASES[case]
  devices = count(mesh)
  from training import batch, engine, stepper

  from models.components.execution import Execution
  from models.zoo import ZOO
  from partitioning.mesh import Mesh
  from t5x_like import optim
  from t5x_like.planner import program

  stages = {"pipeline_schedule": "1f1b"} if "pipeline" in mesh else {}
  made = engine(
    ZOO[model].spec(),
    rows=rows,
    lengths=lengths,
    execution=Execution(remat=remat, **stages),
    optimizer=optim.AdamW(learning_rate=1e-4),
    mesh=Mesh(**{"data": 1} | mesh),
    rules=rules,
  )
  planned = program.compiled(made.run)
  arrays = batch(made.run.model.vocab, rows=rows, lengths=lengths)
  shapes = {name: array.shape for name, array in arrays.items()}
  real = made.compile(shapes).result().memory_analysis()
  before = reset()
  step = stepper(made, arrays)
  for _ in range(2):
    step()
  return {
    "planned": devices * (planned.state + planned.temporary),
    "compiled": devices
    * (
      real.argument_size_in_bytes
      + real.temp_size_in_bytes
      + real.output_size_in_bytes
      - real.alias_size_in_bytes
    ),
    "measured": memory("VmHWM") - before,
  }


def reset() -> int:
  """Bytes of this process, from which on its highest point is counted anew."""
  with open("/proc/self/clear_refs", "w") as file:
    file.write("5")
  return memory("VmRSS")


def memory(name: str) -> int:
  with open("/proc/self/status") as file:
    lines = dict(line.split(":", 1) for line in file)
  return 1024 * int(lines[name].split()[0])


if __name__ == "__main__":
  main()

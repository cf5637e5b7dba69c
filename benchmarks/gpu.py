"""Training speed on an accelerator: tokens/s, utilization, memory, attention kernels.

  python benchmarks/gpu.py [--models llama_1b t5_base t5_large t5_xl] [--steps 10]
    [--rows 8] [--remat none] [--attention auto]

bfloat16, AdamW, one fixed batch of full rows (LLaMA 3.2 1B: 2048 tokens; T5.1.1: 512 +
128). Each model in a fresh process. Without --rows and --remat it takes the first of a
list, fastest first, that fits the memory. Utilization is useful FLOPs a second over the
device's peak (t5x_like/peaks.py): three times the forward pass, that is 6 N D for N
parameters in products and D tokens, plus attention scores, causal ones by half;
recomputation and the lookup of embeddings count nothing (models/components/flops.py).
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
import sys
import time

# Model: (row of the zoo, model lengths, (rows, remat) to try, fastest first).
T5_LENGTHS = {"encoder": 512, "decoder": 128}
MODELS = {
  "llama_1b": (
    "llama3_2/1b",
    {"decoder": 2048},
    ((16, "none"), (8, "none"), (16, "dots"), (8, "dots"), (8, "full")),
  ),
  "t5_base": ("t5_1_1/base", T5_LENGTHS, ((256, "none"), (128, "none"), (64, "none"))),
  "t5_large": ("t5_1_1/large", T5_LENGTHS, ((128, "none"), (64, "none"), (64, "full"))),
  "t5_xl": ("t5_1_1/xl", T5_LENGTHS, ((64, "none"), (64, "dots"), (64, "full"))),
  # Seconds on a CPU: shows that the program runs, and nothing else.
  "tiny": ("llama3_2/tiny", {"decoder": 128}, ((4, "none"),)),
}
OUT_OF_MEMORY = 3  # exit status of a measurement that did not fit


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS)[:4])
  parser.add_argument("--steps", type=int, default=10)
  parser.add_argument("--rows", type=int)
  parser.add_argument("--remat")
  parser.add_argument("--attention", default="auto")
  parser.add_argument("--one", help=argparse.SUPPRESS)
  options = parser.parse_args()
  if options.one:
    print(json.dumps(measured(options.one, options)))
    return
  for model in options.models:
    for rows, remat in tried(model, options):
      found = fresh_process(model, rows, remat, options)
      print(text(model, rows, remat, found), flush=True)
      if found is not None:
        break


def tried(model: str, options: argparse.Namespace) -> list[tuple[int, str]]:
  """What fits is found by trying; what the user says is tried alone."""
  listed = MODELS[model][2]
  if options.rows is None and options.remat is None:
    return list(listed)
  return [(options.rows or listed[0][0], options.remat or listed[0][1])]


def fresh_process(
  model: str, rows: int, remat: str, options: argparse.Namespace
) -> dict | None:
  """What `measured` returns, or None where the memory was too small."""
  command = [sys.executable, __file__, "--one", model, "--rows", str(rows)]
  command += ["--remat", remat, "--attention", options.attention]
  command += ["--steps", str(options.steps)]
  done = subprocess.run(command, capture_output=True, text=True, check=False)
  if done.returncode == OUT_OF_MEMORY:
    return None
  if done.returncode:
    sys.exit(done.stderr[-4000:])
  return json.loads(done.stdout.splitlines()[-1])


def text(model: str, rows: int, remat: str, found: dict | None) -> str:
  """A row of the table in docs/performance.md."""
  if found is None:
    return f"| {model} | {rows} | {remat} | does not fit |"
  peak = f"{100 * found['utilization']:.1f} %" if found["utilization"] else "unknown"
  memory = f"{found['peak_gib']:.1f} GiB" if found["peak_gib"] else "unknown"
  return (
    f"| {model} | {rows} | {remat} | {found['tokens_per_second']:,.0f} tokens/s | "
    f"{1000 * found['seconds']:.1f} ms | {peak} | {memory} | {found['kernels']} | "
    f"{found['device']}, jax {found['jax']} |"
  )


def measured(model: str, options: argparse.Namespace) -> dict:
  """Median seconds a step after three, and what follows from them."""
  import jax
  from training import batch, engine, stepper

  from models.components import flops
  from models.components.execution import Execution
  from models.zoo import ZOO
  from t5x_like import optim, peaks

  name, lengths, _ = MODELS[model]
  spec = ZOO[name].spec()
  execution = Execution(
    compute_dtype="bfloat16", remat=options.remat, attention=options.attention
  )
  made = engine(
    spec,
    rows=options.rows,
    lengths=lengths,
    execution=execution,
    optimizer=optim.AdamW(learning_rate=1e-4),
  )
  arrays = batch(spec.vocab, rows=options.rows, lengths=lengths)
  try:
    step = stepper(made, arrays)
    seconds = timed(step, options.steps)
  except jax.errors.JaxRuntimeError as error:
    if "RESOURCE_EXHAUSTED" not in str(error):
      raise
    sys.exit(OUT_OF_MEMORY)
  device = jax.devices()[0]
  useful = flops.step_flops(spec, batch=options.rows, lengths=lengths)
  peak = peaks.peak(device_kind=device.device_kind, dtype="bfloat16", devices=1)
  program = made.compile({k: v.shape for k, v in arrays.items()}).result().as_text()
  stats = device.memory_stats() or {}
  return {
    "seconds": seconds,
    "tokens_per_second": options.rows * sum(lengths.values()) / seconds,
    "utilization": useful / seconds / peak if peak else None,
    "peak_gib": stats.get("peak_bytes_in_use", 0) / 2**30,
    "kernels": kernels(made.kernels(lengths), program),
    "device": device.device_kind,
    "jax": jax.__version__,
  }


def timed(step, steps: int) -> float:
  """Median seconds of a call, after three that compile and settle."""
  for _ in range(3):
    step()
  seconds = []
  for _ in range(steps):
    begin = time.perf_counter()
    step()
    seconds.append(time.perf_counter() - begin)
  return statistics.median(seconds)


def kernels(chosen: dict[str, str], program: str) -> str:
  """Kernels that were chosen, and fused attention that the program really calls."""
  names = sorted({text.split()[0] for text in chosen.values()})
  called = sorted(set(re.findall(r'custom_call_target="(__cudnn\$fmha\w*)', program)))
  return ", ".join(names + called)


if __name__ == "__main__":
  main()

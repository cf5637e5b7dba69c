"""Whether runs of one study are faster packed into one program than side by side.

Run:  python benchmarks/studies/packing.py
A step of `seeds` runs of studies/tiny_ffn at three widths, as one program by `jax.vmap`,
against the same step alone. Packing pays where a run's share of the packed step is shorter
than its own step. Weights of each run make every product of the packed step a batched
one. `--cores=1` is what a worker of two has on two cores.
"""

from __future__ import annotations

import argparse
import os
import time

WIDTHS = (
  (32, ()),
  (64, ("llama.llama.dim = 64", "llama.llama.hidden = 176", "BATCH_SIZE = 16")),
  (112, ("llama.llama.dim = 112", "llama.llama.hidden = 304", "BATCH_SIZE = 32")),
)
SEEDS = (2, 4, 8)
SECONDS = 2.0  # of each timing, of which the fastest of three counts


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--cores", type=int, default=None)
  cores = parser.parse_args().cores
  if cores:
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
  for width, bindings in WIDTHS:
    print(f"width {width}: {compared(bindings)}", flush=True)


def compared(bindings: tuple[str, ...]) -> str:
  """Alone, then a run's share of steps of several."""
  import jax
  import numpy as np

  from t5x_like import config
  from t5x_like.engine import Engine

  bindings = (*bindings, "run.Run.model_dir = 'unset'")
  run = config.parse(["studies/tiny_ffn/base.gin"], bindings).build()
  engine = Engine(run)
  batch = rows(run.batch, run.lengths["targets"], np.random.default_rng(0))
  state = engine.initial_state()
  alone = milliseconds(jax.jit(engine._train_step), state, batch)
  told = [f"alone {alone:.2f} ms"]
  for seeds in SEEDS:
    many = lambda x, seeds=seeds: np.stack([x] * seeds)
    packed = jax.jit(jax.vmap(engine._train_step))
    shared = milliseconds(packed, *jax.tree.map(many, (state, batch))) / seeds
    told.append(f"{seeds} packed {shared:.2f} ms a run ({alone / shared:.2f} x)")
  return ", ".join(told)


def rows(count: int, length: int, random) -> dict:
  """Full rows of one document each."""
  import numpy as np

  tokens = random.integers(3, 259, (count, length), dtype=np.int32)
  positions = np.tile(np.arange(length, dtype=np.int32), (count, 1))
  return {
    "decoder_input_tokens": tokens,
    "decoder_target_tokens": tokens,
    "decoder_loss_weights": np.ones((count, length), np.float32),
    "decoder_segment_ids": np.ones((count, length), np.int32),
    "decoder_positions": positions,
  }


def milliseconds(step, state, batch) -> float:
  """Of one step."""
  import jax

  jax.block_until_ready(step(state, batch))
  found = []
  for _ in range(3):
    begun, steps = time.perf_counter(), 0
    while time.perf_counter() - begun < SECONDS:
      jax.block_until_ready(step(state, batch))
      steps += 1
    found.append((time.perf_counter() - begun) / steps * 1e3)
  return min(found)


if __name__ == "__main__":
  main()

"""Training-step speed beside Hugging Face transformers in PyTorch, as ratios of one run.

  python benchmarks/train_step.py [--rounds 3] [--steps 6] [--models t5 llama]

Two shapes, float32, AdamW, one fixed batch of random tokens, no padding, no dropout:
t5 (T5 v1.1: d 256, 4+4 layers, 4 heads of 64, d_ff 1024, V 32128, 512/128 tokens) and
llama (d 256, 6 layers, 4 heads of 64, d_ff 688, V 32000, 512 tokens), batch 8. The
contenders take turns, each in a fresh process, so that a machine that gets slower slows
all of them; compare ratios, not seconds. Needs torch and transformers.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time

T5 = dict(dim=256, hidden=1024, heads=4, layers=4, vocab=32_128)
LLAMA = dict(dim=256, hidden=688, heads=4, layers=6, vocab=32_000)
ROWS, ENCODER, DECODER, LENGTH = 8, 512, 128, 512
TOKENS = {"t5": ROWS * (ENCODER + DECODER), "llama": ROWS * LENGTH}
CONTENDERS = ("ours", "hf_eager", "hf_compile")


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--models", nargs="+", default=["t5", "llama"])
  parser.add_argument("--contenders", nargs="+", default=list(CONTENDERS))
  parser.add_argument("--rounds", type=int, default=3)
  parser.add_argument("--steps", type=int, default=6)
  parser.add_argument("--one", nargs=2, metavar=("CONTENDER", "MODEL"))
  options = parser.parse_args()
  if options.one:
    contender, model = options.one
    print(json.dumps(one(contender, model, options.steps)))
    return
  for model in options.models:
    compare(model, options)


def compare(model: str, options: argparse.Namespace) -> None:
  """Rounds of all contenders in turn; prints medians and the ratio to each peer."""
  results: dict[str, list[dict]] = {name: [] for name in options.contenders}
  for _ in range(options.rounds):
    for name in options.contenders:
      results[name].append(fresh_process(name, model, options.steps))
  rate = {
    name: statistics.median(TOKENS[model] / r["seconds"] for r in runs)
    for name, runs in results.items()
  }
  print(f"{model}: {TOKENS[model]} tokens a step")
  for name, runs in results.items():
    memory = max(r["peak_mb"] for r in runs)
    first = statistics.median(r["first_step"] for r in runs)
    print(
      f"  {name:11s} {rate[name]:8.0f} tokens/s  peak {memory:6.0f} MB  "
      f"process start to end of first step {first:5.1f} s"
    )
  for name in options.contenders:
    if name != "ours" and "ours" in rate:
      pairs = zip(results["ours"], results[name], strict=True)
      ratios = sorted(b["seconds"] / a["seconds"] for a, b in pairs)
      print(
        f"  ours / {name}: {statistics.median(ratios):.2f}x "
        f"(rounds {ratios[0]:.2f} to {ratios[-1]:.2f})"
      )


def fresh_process(name: str, model: str, steps: int) -> dict:
  """Runs one contender in its own process and returns what it measured."""
  env = dict(os.environ)
  if name == "ours":
    from t5x_like import host

    env = host.environment(env)
  command = [sys.executable, __file__, "--one", name, model, "--steps", str(steps)]
  done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
  if done.returncode:
    sys.exit(done.stderr)
  return json.loads(done.stdout.splitlines()[-1])


def one(contender: str, model: str, steps: int) -> dict:
  """Median seconds a step after two warm-up steps, peak memory, time to first step."""
  started = time.time() - time.process_time()
  step = ours(model) if contender == "ours" else peer(model, contender)
  step()
  first = time.time() - started
  step()
  seconds = []
  for _ in range(steps):
    begin = time.perf_counter()
    step()
    seconds.append(time.perf_counter() - begin)
  peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
  return {
    "seconds": statistics.median(seconds),
    "peak_mb": peak,
    "first_step": first,
  }


def ours(model: str):
  """One call is one training step, awaited, through the library's own Engine."""
  from training import batch, engine, stepper

  from models.families import llama, t5
  from t5x_like import optim, schedules

  spec = t5.t5_1_1(**T5) if model == "t5" else llama.llama(**LLAMA)
  both = {"encoder": ENCODER, "decoder": DECODER}
  shape = dict(rows=ROWS, lengths=both if model == "t5" else {"decoder": LENGTH})
  rate = schedules.Constant(value=1e-3)
  optimizer = optim.AdamW(learning_rate=rate, clip=None)
  made = engine(spec, optimizer=optimizer, **shape)
  return stepper(made, batch(spec.vocab, **shape))


def peer(model: str, contender: str):
  """One call is zero_grad, forward, backward and AdamW of the transformers class."""
  import torch
  import transformers

  torch.set_num_threads(os.cpu_count() or 1)
  torch.manual_seed(0)
  if model == "t5":
    config = transformers.T5Config(
      vocab_size=T5["vocab"],
      d_model=T5["dim"],
      d_kv=64,
      d_ff=T5["hidden"],
      num_layers=T5["layers"],
      num_decoder_layers=T5["layers"],
      num_heads=T5["heads"],
      feed_forward_proj="gated-gelu",
      dropout_rate=0.0,
      use_cache=False,
      decoder_start_token_id=0,
    )
    module = transformers.T5ForConditionalGeneration(config)
    # This version ties the head whatever the configuration says; v1.1 is untied.
    start = torch.randn_like(module.lm_head.weight) * T5["dim"] ** -0.5
    module.lm_head.weight = torch.nn.Parameter(start)
    batch = {
      "input_ids": torch.randint(1, T5["vocab"], (ROWS, ENCODER)),
      "labels": torch.randint(1, T5["vocab"], (ROWS, DECODER)),
    }
  else:
    config = transformers.LlamaConfig(
      vocab_size=LLAMA["vocab"],
      hidden_size=LLAMA["dim"],
      intermediate_size=LLAMA["hidden"],
      num_hidden_layers=LLAMA["layers"],
      num_attention_heads=LLAMA["heads"],
      num_key_value_heads=LLAMA["heads"],
      max_position_embeddings=2048,
      tie_word_embeddings=False,
      use_cache=False,
    )
    module = transformers.LlamaForCausalLM(config)
    ids = torch.randint(1, LLAMA["vocab"], (ROWS, LENGTH))
    batch = {"input_ids": ids, "labels": ids}
  module.train()
  optimizer = torch.optim.AdamW(module.parameters(), lr=1e-3)
  forward = torch.compile(module) if contender == "hf_compile" else module

  def step() -> None:
    optimizer.zero_grad(set_to_none=True)
    forward(**batch).loss.backward()
    optimizer.step()

  return step


if __name__ == "__main__":
  main()

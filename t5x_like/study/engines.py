"""Engines: where `study run` has its cells run.

You are in: t5x_like/study, the edge. Upstream: running.py. `here` and `ray` wait until
the study has ended; the others hand workers to a scheduler and return.
"""

from __future__ import annotations

import argparse

from t5x_like.launching import pods
from t5x_like.study import index, k8s, launcher, ray_tasks, slurm
from t5x_like.study.store import ENDED, Store

# A flag that only one engine reads -> that engine.
OWN_FLAGS = {
  "sbatch": "slurm",
  "image": "k8s",
  "volume": "k8s",
  "resource": "k8s",
  "gpus": "k8s",
  "k8s": "k8s",
  "ray": "ray",
}
WAITS = ("here", "ray")


def check(arguments: argparse.Namespace) -> None:
  """Raises ValueError for a flag that the engine would not read."""
  for flag, engine in OWN_FLAGS.items():
    value = getattr(arguments, flag)
    if value and arguments.engine != engine:
      value = value[0] if isinstance(value, list) else value
      raise ValueError(f"--{flag}={value} needs --engine={engine}.")


def run(store: Store, arguments: argparse.Namespace) -> int:
  """Exit status of an engine of WAITS, once nothing is left to run."""
  workers, flags = arguments.workers, _flags(arguments)
  if arguments.engine == "ray":
    options = pods.fields("--ray", arguments.ray)
    return ray_tasks.launch(store, workers=workers, options=options, flags=flags)
  return launcher.launch(store, workers=workers, flags=flags)


def submit(store: Store, arguments: argparse.Namespace) -> int:
  """Hands no more workers than there are cells left to a scheduler, and returns."""
  left = sum(s.name not in ENDED for s in index.states(store).values())
  if not left:
    print("nothing is left to run")
    return 0
  count = min(left, arguments.workers)
  job, output = _submitted(store, arguments, count)
  print(f"{job}: {count} workers for {left} cells, {output}")
  print(f"Follow it: t5x_like study status --study_dir={store.root} --watch")
  return 0


def _submitted(
  store: Store, arguments: argparse.Namespace, count: int
) -> tuple[str, str]:
  """(what was submitted, where its output is)."""
  flags = _flags(arguments)
  if arguments.engine == "k8s":
    job = k8s.submit(store, workers=count, pod=pods.pod(arguments), flags=flags)
    return f"Kubernetes {job}", f"output: kubectl logs -f {job} --all-pods"
  job = slurm.submit(store, workers=count, options=arguments.sbatch, flags=flags)
  return f"Slurm job {job}", f"logs in {store.root}/slurm"


def _flags(arguments: argparse.Namespace) -> tuple[str, ...]:
  """Of every worker."""
  return (f"--heartbeat={arguments.heartbeat}", f"--expiry={arguments.expiry}")

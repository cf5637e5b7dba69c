"""The verb `launch`: writes what a scheduler needs, and submits it when asked.

You are in: t5x_like/launching, the edge. Upstream: main.py, which has checked the command
that is launched. Downstream: sbatch.py, jobs.py, tpu_vm.py.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
from pathlib import Path

from t5x_like.launching import jobs, pods, sbatch, submission, tpu_vm
from t5x_like.launching.command import Command, python

# A flag that only one engine reads -> that engine.
OWN_FLAGS = {
  "sbatch": "slurm",
  "image": "k8s",
  "volume": "k8s",
  "resource": "k8s",
  "k8s": "k8s",
  "tpu": "tpu_vm",
  "zone": "tpu_vm",
}


def verb(arguments: argparse.Namespace) -> int:
  """Writes, prints how to submit, and submits with --submit. Returns the exit status.

  Raises ValueError for flags that cannot be, and for what a scheduler refuses.
  """
  _check(arguments)
  directory = arguments.directory or os.getcwd()
  command = Command(
    words=tuple(arguments.command),
    python=arguments.python or python(sys.executable, directory),
    directory=directory,
  )
  name = arguments.name or command.name()
  if arguments.engine == "tpu_vm":
    path, submitting = (
      None,
      tpu_vm.argv(command, tpu=arguments.tpu, zone=arguments.zone),
    )
  else:
    path, text, submitting = _written(arguments, command, name)
    Path(path).write_text(text, encoding="utf-8")
  printed = None
  if arguments.submit:
    printed = submission.submit(submitting, what=path or "the command")
  _tell(arguments, path, submitting, printed)
  return 0


def _written(
  arguments: argparse.Namespace, command: Command, name: str
) -> tuple[str, str, list[str]]:
  """(file, what stands in it, the command that submits it)."""
  if arguments.engine == "slurm":
    path = arguments.out or f"{name}.sbatch"
    text = sbatch.script(
      command,
      name=name,
      nodes=arguments.nodes,
      tasks=arguments.tasks_per_node,
      gpus=arguments.gpus,
      options=arguments.sbatch,
    )
    return path, text, ["sbatch", path]
  pod = pods.pod(arguments)
  if arguments.directory is None and not pod.holds(command.directory):
    raise ValueError(
      f"{command.directory}, where this is run, is on none of the volumes that pods "
      "mount. Give --volume=CLAIM:PATH with the path that it has here, or "
      "--directory=DIR, a folder of the image."
    )
  manifest = jobs.manifest(command, name=name, count=arguments.nodes, pod=pod)
  path = arguments.out or f"{name}.json"
  text = json.dumps(manifest, indent=2) + "\n"
  return path, text, ["kubectl", "create", f"--filename={path}"]


def _check(arguments: argparse.Namespace) -> None:
  for flag, engine in OWN_FLAGS.items():
    value = getattr(arguments, flag)
    if value and arguments.engine != engine:
      value = value[0] if isinstance(value, list) else value
      raise ValueError(f"--{flag}={value} needs --engine={engine}.")
  for flag, least in {"nodes": 1, "tasks_per_node": 1, "gpus": 0}.items():
    if getattr(arguments, flag) < least:
      raise ValueError(f"--{flag}={getattr(arguments, flag)} must be {least} or more.")
  if arguments.engine != "slurm" and arguments.tasks_per_node != 1:
    raise ValueError(
      f"--tasks_per_node={arguments.tasks_per_node} needs --engine=slurm; elsewhere one "
      "process has all devices of its node."
    )
  if arguments.engine == "tpu_vm" and not arguments.tpu:
    raise ValueError("--engine=tpu_vm needs --tpu=NAME, the name of the TPU.")


def _tell(
  arguments: argparse.Namespace,
  path: str | None,
  submitting: list[str],
  printed: str | None,
) -> None:
  if arguments.json:
    found = {"file": path, "submit": submitting, "submitted": printed}
    print(json.dumps(found))
  elif printed is not None:
    print(printed)
  else:
    print(f"{path} is written; submit it with:" if path else "Run:", file=sys.stderr)
    print(shlex.join(submitting))

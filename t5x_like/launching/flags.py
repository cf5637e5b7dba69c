"""Flags of the verb `launch`, and of pods wherever Kubernetes is asked for.

You are in: t5x_like/launching, standard library only: `--help` must answer at once.
Upstream: t5x_like/flags.py, t5x_like/study/running_flags.py. Downstream: verb.py, pods.py.
"""

from __future__ import annotations

import argparse

EXAMPLES = {
  "launch": """\
  t5x_like launch --engine=slurm --nodes=2 --tasks_per_node=8 --gpus=8 \\
    --sbatch=--time=4:00:00 -- train --gin_file=models/t5_1_1/small.gin \\
    --gin_file=runs/pretrain.gin --gin.MIXTURE_OR_TASK_NAME=python_docs \\
    --gin.TASK_FEATURE_LENGTHS="{'inputs': 512, 'targets': 114}" \\
    --gin.TRAIN_STEPS=10000 --gin.MODEL_DIR=runs/small
  t5x_like launch --engine=k8s --nodes=2 --gpus=8 --image=registry/t5x_like:1 \\
    --volume=shared:/mnt/shared --directory=/mnt/shared/work \\
    -- eval --model_dir=/mnt/shared/runs/small
  t5x_like launch --engine=tpu_vm --tpu=pod --zone=us-east5-b --directory=work \\
    -- eval --model_dir=gs_mount/runs/small

Writes NAME.sbatch or NAME.json, or prints one command; --submit submits as well.
What stands after -- is the command that every process runs.""",
}
SUMMARIES = {"launch": "Write, and submit, what Slurm, Kubernetes or a TPU VM needs."}


def add_flags(parser: argparse.ArgumentParser, verb: str) -> None:
  """The flags of `launch`, which stand before --."""
  parser.usage = "t5x_like launch [flags] -- VERB [flags of VERB]"
  add = parser.add_argument
  add("--engine", choices=("slurm", "k8s", "tpu_vm"), required=True)
  add("--name", help="of the job (default: the last part of its MODEL_DIR)")
  add("--nodes", type=int, default=1, help="machines, or pods")
  add("--tasks_per_node", type=int, default=1, help="slurm: processes on each")
  add("--gpus", type=int, default=0, help="GPUs of each node or pod")
  add("--sbatch", action="append", default=[], help="slurm: an option; repeat")
  add_pod_flags(parser)
  add("--tpu", help="tpu_vm: its name")
  add("--zone", help="tpu_vm: its zone")
  add("--directory", help="where processes run, on every machine (default: here)")
  add("--python", help="(default: this one if it is in that folder, else python)")
  add("--out", help="file to write (default: NAME.sbatch or NAME.json)")
  add("--submit", action="store_true", help="submit it, too")


def add_pod_flags(parser: argparse.ArgumentParser) -> None:
  """What --engine=k8s needs to know of a pod."""
  add = parser.add_argument
  add("--image", help="k8s: container image with t5x_like installed")
  add(
    "--volume",
    action="append",
    default=[],
    metavar="CLAIM:PATH",
    help="k8s: a persistent volume claim, and where pods mount it; repeat",
  )
  add(
    "--resource",
    action="append",
    default=[],
    metavar="NAME=AMOUNT",
    help="k8s: a limit of every pod, such as memory=64Gi or google.com/tpu=4; repeat",
  )
  add(
    "--k8s",
    action="append",
    default=[],
    metavar="FIELD=VALUE",
    help="k8s: a field of the pod's spec, VALUE as JSON or text; repeat",
  )

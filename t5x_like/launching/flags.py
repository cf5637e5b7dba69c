"""Flags of pods, wherever Kubernetes is asked for.

You are in: t5x_like/launching, standard library only: `--help` must answer at once.
Upstream: t5x_like/study/running_flags.py. Downstream: pods.py.
"""

from __future__ import annotations

import argparse


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

"""Pods: what Kubernetes is given, as JSON, which kubectl reads like YAML.

You are in: t5x_like/launching, pure part (dictionaries in, dictionaries out). Upstream:
jobs.py (a run), t5x_like/study/k8s.py (workers of a study). Needs Kubernetes 1.29 or
newer, for `backoffLimitPerIndex`.

A pod that is evicted or deleted gets SIGTERM, saves, and ends with 128 + the signal; the
Job replaces it without counting that as a failure. A mistake of the user (exit status 2)
ends the Job, for it would only be repeated.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

GRACE = 300  # seconds between SIGTERM and SIGKILL: the time a run has to save
RETRIES = 6  # of one pod, after failures that are its own
STOPPED = (130, 138, 143)  # 128 + SIGINT, SIGUSR1, SIGTERM: saved, to go on elsewhere
MISTAKE = 2
GPU = "nvidia.com/gpu"
MAIN = "main"  # the one container


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pod:
  """What all pods of a job have.

  volumes: where each is mounted -> the claim of a persistent volume. resources: limits,
  such as {"nvidia.com/gpu": "8"}. fields: of the pod's spec, laid over ours: objects are
  joined, lists appended, anything else replaced.
  """

  image: str
  volumes: Mapping[str, str] = dataclasses.field(default_factory=dict)
  resources: Mapping[str, str] = dataclasses.field(default_factory=dict)
  fields: Mapping[str, object] = dataclasses.field(default_factory=dict)

  def holds(self, path: str | Path) -> bool:
    """Whether a path lies on one of the volumes."""
    return any(Path(path).is_relative_to(mount) for mount in self.volumes)

  def spec(
    self, command: Sequence[str], *, directory: str, environment: Mapping[str, str]
  ) -> dict:
    """The pod's spec. The command is the container's first process: it gets SIGTERM."""
    mounts = list(self.volumes.items())
    ours = {
      "restartPolicy": "Never",  # the Job replaces pods, on any node
      "terminationGracePeriodSeconds": GRACE,
      "containers": [
        {
          "name": MAIN,
          "image": self.image,
          "command": list(command),
          "workingDir": directory,
          "env": [{"name": k, "value": v} for k, v in environment.items()],
          "resources": {"limits": dict(self.resources)},
          "volumeMounts": [
            {"name": f"volume-{i}", "mountPath": path}
            for i, (path, _) in enumerate(mounts)
          ],
        }
      ],
      "volumes": [
        {"name": f"volume-{i}", "persistentVolumeClaim": {"claimName": claim}}
        for i, (_, claim) in enumerate(mounts)
      ],
    }
    return _laid_over(ours, self.fields)


def indexed_job(metadata: Mapping[str, str], spec: Mapping, *, count: int) -> dict:
  """A Job of `count` pods, all at once, each with its JOB_COMPLETION_INDEX."""
  return {
    "apiVersion": "batch/v1",
    "kind": "Job",
    "metadata": dict(metadata),
    "spec": {
      "completionMode": "Indexed",
      "completions": count,
      "parallelism": count,
      "backoffLimitPerIndex": RETRIES,
      "podFailurePolicy": {
        "rules": [
          {"action": "FailJob", "onExitCodes": _exit_codes(MISTAKE)},
          {"action": "Ignore", "onExitCodes": _exit_codes(*STOPPED)},
          {
            "action": "Ignore",
            "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}],
          },
        ]
      },
      "template": {"spec": dict(spec)},
    },
  }


def _exit_codes(*values: int) -> dict:
  return {"containerName": MAIN, "operator": "In", "values": list(values)}


def dns_label(name: str) -> str:
  """A name as Kubernetes allows it: small letters, digits and -, short enough to add to.

  Raises ValueError when nothing is left of it.
  """
  label = re.sub(r"[^a-z0-9]+", "-", name.lower())[:40].strip("-")
  if not label:
    raise ValueError(f"{name!r} has no letter or digit that a name could be made of.")
  return label


def pod(arguments: argparse.Namespace) -> Pod:
  """What the flags of `flags.add_pod_flags` say. Raises ValueError for what cannot be."""
  if not arguments.image:
    raise ValueError("--engine=k8s needs --image=IMAGE, with t5x_like installed in it.")
  volumes = {}
  for text in arguments.volume:
    claim, _, path = text.partition(":")
    if not claim or not path.startswith("/"):
      raise ValueError(f"--volume={text} must be CLAIM:PATH, the path from the root.")
    volumes[path] = claim
  resources = dict(_pair("--resource", text) for text in arguments.resource)
  if arguments.gpus:
    resources[GPU] = str(arguments.gpus)
  return Pod(
    image=arguments.image,
    volumes=volumes,
    resources=resources,
    fields=fields("--k8s", arguments.k8s),
  )


def fields(flag: str, texts: Sequence[str]) -> dict[str, object]:
  """NAME=VALUE of a repeated flag, VALUE as JSON or text."""
  pairs = (_pair(flag, text) for text in texts)
  return {name: _value(value) for name, value in pairs}


def _pair(flag: str, text: str) -> tuple[str, str]:
  name, equals, value = text.partition("=")
  if not name or not equals:
    raise ValueError(f"{flag}={text} must be {flag}=NAME=VALUE.")
  return name, value


def _value(text: str) -> object:
  """JSON where it is JSON, else the text itself."""
  try:
    return json.loads(text)
  except ValueError:
    return text


def _laid_over(ours: object, theirs: object) -> object:
  if isinstance(ours, Mapping) and isinstance(theirs, Mapping):
    changed = {k: _laid_over(ours[k], v) for k, v in theirs.items() if k in ours}
    return {**ours, **theirs, **changed}
  if isinstance(ours, list) and isinstance(theirs, list):
    return ours + theirs
  return theirs

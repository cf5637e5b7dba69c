"""Kubernetes: a study's workers as the pods of one Indexed Job.

You are in: t5x_like/study, the edge (calls `kubectl`). Upstream: engines.py. Nothing but
the study's directory, on a volume that all pods mount where this machine has it, joins
them: any of them may be evicted or created twice.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence

from t5x_like.launching import pods, submission
from t5x_like.study import version
from t5x_like.study.store import Store, replace

MANIFEST = "k8s.json"


def manifest(
  store: Store, *, workers: int, pod: pods.Pod, flags: Sequence[str] = ()
) -> dict:
  """The Job. flags: of `study worker`.

  Raises ValueError when the study, or the folder that it was planned in, is on no volume.
  """
  for path in (str(store.root), store.plan["cwd"]):
    if not pod.holds(path):
      raise ValueError(
        f"{path} is on none of the volumes that pods mount ({', '.join(pod.volumes)}). "
        "Run this command from a folder on a shared volume, with --study_dir on one "
        "too, and give --volume=CLAIM:PATH with the path that it has here."
      )
  # What this machine has, where pods see it as well; else what the image has.
  program = sys.executable if pod.holds(sys.executable) else "python"
  command = [program, "-m", "t5x_like.main", "study", "worker"]
  command += [f"--study_dir={store.root}", "--nowait", *flags]
  paths = [str(version.ROOT), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
  seen = list(dict.fromkeys(p for p in paths if p and pod.holds(p)))
  environment = {"PYTHONUNBUFFERED": "1"}
  if seen:
    environment["PYTHONPATH"] = os.pathsep.join(seen)
  spec = pod.spec(command, directory=store.plan["cwd"], environment=environment)
  # A new name for each submission: the pods of an earlier one may still be at work.
  name = pods.dns_label(store.plan["name"]) + "-"
  return pods.indexed_job({"generateName": name}, spec, count=workers)


def submit(
  store: Store, *, workers: int, pod: pods.Pod, flags: Sequence[str] = ()
) -> str:
  """Writes k8s.json into the study's directory, creates the Job, and returns its name.

  Raises ValueError where there is no kubectl, or it refuses.
  """
  path = store.root / MANIFEST
  text = json.dumps(manifest(store, workers=workers, pod=pod, flags=flags), indent=2)
  replace(path, text + "\n")
  command = ["kubectl", "create", "--output=name", f"--filename={path}"]
  return submission.submit(command, what=path)

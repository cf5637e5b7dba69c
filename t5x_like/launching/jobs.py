"""Jobs: a run of several pods under Kubernetes.

You are in: t5x_like/launching, pure part (dictionaries out). Upstream: verb.py;
pods.py has what a pod is.

An Indexed Job gives its pods the host names NAME-0, NAME-1, ...; a Service without an
address of its own makes them known as NAME-0.NAME, so that all find process 0.
"""

from __future__ import annotations

from t5x_like.launching import pods
from t5x_like.launching.command import CACHE, Command

PORT = 8476  # of process 0, where the others meet it


def manifest(command: Command, *, name: str, count: int, pod: pods.Pod) -> dict:
  """A Service and a Job of `count` pods, a process each."""
  name = pods.dns_label(name)
  environment = {
    "PYTHONUNBUFFERED": "1",
    "JAX_COMPILATION_CACHE_DIR": f"{command.directory}/{CACHE}",
  }
  argv = command.argv(*joining(name, count)) if command.is_one_run() else command.argv()
  spec = pod.spec(argv, directory=command.directory, environment=environment)
  spec["subdomain"] = name
  service = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": name},
    "spec": {
      "clusterIP": "None",
      "selector": {"job-name": name},
      # Processes meet before any of them is ready for anything.
      "publishNotReadyAddresses": True,
      "ports": [{"name": "coordinator", "port": PORT}],
    },
  }
  job = pods.indexed_job({"name": name}, spec, count=count)
  return {"apiVersion": "v1", "kind": "List", "items": [service, job]}


def joining(name: str, count: int) -> list[str]:
  """Flags by which a pod finds the others; the kubelet fills in its index."""
  if count == 1:
    return ["--process_count=1"]
  return [
    f"--coordinator_address={name}-0.{name}:{PORT}",
    f"--process_count={count}",
    "--process_index=$(JOB_COMPLETION_INDEX)",
  ]

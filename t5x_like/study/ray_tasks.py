"""Ray: a study's workers as tasks of a Ray cluster, replaced when they die.

You are in: t5x_like/study, the edge (needs the package `ray`, imported when it is used).
Upstream: engines.py. Every node must see the study's directory and this package at the
paths that they have here; the package itself need not be installed there.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping

from t5x_like.study import slots, version
from t5x_like.study.launcher import POLL, REPLACEMENTS
from t5x_like.study.store import Store
from t5x_like.study.worker import STOPPING

GRACE = 300.0  # seconds that workers have to save when they are stopped


def launch(
  store: Store,
  *,
  workers: int,
  options: Mapping[str, object],
  flags: tuple[str, ...] = (),
) -> int:
  """Runs `workers` tasks until every cell has ended; 0, or 128 + n by a signal.

  Joins the cluster that RAY_ADDRESS names, or one that was started on this machine, or
  starts one here. options: of a task (`num_gpus`, `num_cpus`, `resources`, ...). Raises
  ValueError when Ray is not installed, or refuses the options.
  """
  try:
    import ray
  except ModuleNotFoundError:
    raise ValueError(
      "--engine=ray needs the package ray: pip install 't5x_like[ray]'"
    ) from None
  began = not ray.is_initialized()
  if began:
    ray.init()
  try:
    # Retries are ours: a worker goes on from a checkpoint, wherever it starts again.
    task = ray.remote(max_retries=0, **options)(_work)
    return _until_ended(ray, task, store, workers, flags)
  finally:
    if began:
      ray.shutdown()


def _until_ended(ray, task, store: Store, workers: int, flags: tuple[str, ...]) -> int:
  """Starts the tasks, and others for those that die."""
  stopped: list[int] = []

  def stop(number: int, frame: object) -> None:
    stopped.append(number)

  def start():
    paths = [str(version.ROOT), os.environ.get("PYTHONPATH", "")]
    environment = {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
    command = [sys.executable, "-m", "t5x_like.main", "study", "worker"]
    command += [f"--study_dir={store.root}", *flags]
    return task.remote(command, environment)

  old = {number: signal.signal(number, stop) for number in STOPPING}
  try:
    running, died, cancelled = [start() for _ in range(workers)], 0, 0.0
    while running:
      if stopped and not cancelled:
        cancelled = time.monotonic()
        for reference in running:
          ray.cancel(reference)
      if cancelled and time.monotonic() - cancelled > GRACE:
        break
      ended, running = ray.wait(running, timeout=POLL)
      for reference in ended:
        status = _status(ray, reference)
        if status and not stopped and died < REPLACEMENTS:
          died += 1
          print(f"a worker ended with {status}; starting another", flush=True)
          running.append(start())
  finally:
    for number, handler in old.items():
      signal.signal(number, handler)
  return 128 + stopped[0] if stopped else 0


def _status(ray, reference) -> str:
  """How a task ended: empty where all is well."""
  try:
    status = ray.get(reference)
    return f"status {status}" if status else ""
  except ray.exceptions.RayError as error:  # the node is gone, or the task's process
    return type(error).__name__


def _work(command: list[str], environment: dict[str, str]) -> int:
  """On a node: one `study worker`, in a process of its own because of its signals."""
  child = subprocess.Popen(
    command,
    env=os.environ | environment,
    start_new_session=True,
    preexec_fn=lambda: slots.end_with_parent(signal.SIGTERM),
  )
  try:
    while child.poll() is None:
      time.sleep(POLL)
  except KeyboardInterrupt:  # how Ray cancels a task
    child.terminate()
  return child.wait()

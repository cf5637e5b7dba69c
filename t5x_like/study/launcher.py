"""Launcher: several workers on this machine, replaced when they die.

You are in: t5x_like/study, the edge (standard library only). Upstream: `t5x_like study
run`. Two launchers at once, here or elsewhere, share the work.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

from t5x_like.study import slots, version
from t5x_like.study.store import Store
from t5x_like.study.worker import STOPPING

POLL = 0.2
REPLACEMENTS = 100  # of workers that died: something on this machine kills them


def launch(store: Store, *, workers: int, flags: tuple[str, ...] = ()) -> int:
  """Runs `workers` workers until every cell has ended; 0, or 128 + n by a signal.

  flags: further ones of `t5x_like study worker`.
  """
  stopped = []

  def stop(number: int, frame: object) -> None:
    stopped.append(number)
    for process in running.values():
      process.send_signal(signal.SIGTERM)

  running: dict[int, subprocess.Popen] = {}
  old = {n: signal.signal(n, stop) for n in STOPPING}
  try:
    for slot in range(workers):
      running[slot] = _start(store, slot, workers, flags)
    died = 0
    while running:
      time.sleep(POLL)
      for slot, process in list(running.items()):
        status = process.poll()
        if status is None:
          continue
        del running[slot]
        if status != 0 and not stopped and died < REPLACEMENTS:
          died += 1
          print(f"worker {slot} ended with status {status}; starting another")
          running[slot] = _start(store, slot, workers, flags)
  finally:
    for number, handler in old.items():
      signal.signal(number, handler)
  return 128 + stopped[0] if stopped else 0


def _start(store: Store, slot: int, workers: int, flags) -> subprocess.Popen:
  command = [
    *(sys.executable, "-m", "t5x_like.main", "study", "worker"),
    *(f"--study_dir={store.root}", f"--slot={slot}", f"--slots={workers}"),
    *flags,
  ]
  paths = [str(version.ROOT), os.environ.get("PYTHONPATH", "")]
  return subprocess.Popen(
    command,
    env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))},
    start_new_session=True,  # a Ctrl-C reaches it once, through `stop`
    preexec_fn=lambda: slots.end_with_parent(signal.SIGTERM),
  )

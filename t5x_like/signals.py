"""Signals: how a run is asked to stop, and when the loop finds out.

You are in: t5x_like, the edge. SIGTERM (schedulers), SIGINT (Ctrl-C), SIGUSR1 (SLURM's
--signal) and a file named STOP in the run directory only set a flag. The loop calls
`poll` once a step, so that a run ends between steps, after a checkpoint. A second signal
ends the process at once.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from types import FrameType

import jax
import numpy as np
from jax.experimental import multihost_utils

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
FILE = "STOP"
PAUSED = 75  # EX_TEMPFAIL of sysexits.h: schedulers and studies start it again
FILE_SECONDS = 1.0  # between two looks for the file; a look costs up to 1 ms on NFS
REPEAT_SECONDS = 1.0  # launchers may deliver one Ctrl-C twice, directly and passed on
AGREE_POLLS = 10  # with several processes: steps between two exchanges of the flag


class Stop:
  """`with Stop(run_directory) as stop`: handles signals until the block ends.

  requested: as of the last `poll`. reason: what asked, for the user. status: exit
  status of a run that was stopped: 128 + signal, the file counts as SIGTERM; PAUSED at
  the step `pause`.
  """

  def __init__(self, directory: Path, *, pause: int | None = None):
    self._pause = pause
    self._file = Path(directory) / FILE
    self._received = 0  # signal number
    self._first = 0.0  # its time
    self._looked = -FILE_SECONDS
    self._polls = 0
    self.requested = False
    self.reason = ""
    self.status = 0

  def __enter__(self) -> Stop:
    self._old = {number: signal.signal(number, self._handle) for number in SIGNALS}
    return self

  def __exit__(self, *error: object) -> None:
    for number, handler in self._old.items():
      signal.signal(number, handler)

  def poll(self, step: int = 0) -> bool:
    """True once a stop is requested. Call it once a step, in every process."""
    if self.requested:
      return True
    if self._pause is not None and step >= self._pause:
      self.requested, self.status = True, PAUSED
      self.reason = f"run.Run.pause={self._pause}"
      return True
    number, reason = self._received, ""
    if number:
      reason = signal.Signals(number).name
    elif self._file_found():
      number, reason = signal.SIGTERM, f"the file {self._file}"
    self._polls += 1
    if jax.process_count() > 1:
      # All processes must stop after the same step, or those left would wait forever.
      if self._polls % AGREE_POLLS:
        return False
      number = int(multihost_utils.process_allgather(np.int32(number)).max())
    if number:
      self._file.unlink(missing_ok=True)  # or the next start would stop at once
      self.requested, self.status = True, 128 + number
      self.reason = reason or f"{signal.Signals(number).name} in another process"
    return self.requested

  def _file_found(self) -> bool:
    now = time.monotonic()
    if now - self._looked < FILE_SECONDS:
      return False
    if self._file.exists():
      return True
    self._looked = now
    return False

  def _handle(self, number: int, frame: FrameType | None) -> None:
    now = time.monotonic()
    if not self._received:
      self._received, self._first = number, now
    elif now - self._first > REPEAT_SECONDS:
      signal.signal(number, signal.SIG_DFL)
      os.kill(os.getpid(), number)

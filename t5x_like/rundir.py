"""Run directory: the unit of truth about one run, and who may write to it.

You are in: t5x_like, without JAX. Upstream: `train.py`. Everything a run leaves is here:

    config.gin       what the run was configured with, defaults included
    identity.json    what must be equal for the run to be continued
    metrics.jsonl    the ledger (metrics.py); everything else drawn from it
    summary.json     how the run ended
    lease.json       the process that writes here now; empty when none does
    checkpoints/  tensorboard/  samples/

The lease is a lock that the kernel releases with the process, however that ends; the
text in lease.json only tells people who holds it.
"""

from __future__ import annotations

import datetime
import errno
import fcntl
import functools
import json
import logging
import os
import socket
import uuid
import weakref
from pathlib import Path
from typing import Any

LOG = logging.getLogger(__name__)
FREE = (
  "the number of steps, log, evaluation and checkpoint periods, data_dir, workers, "
  "microbatches, mesh and execution"
)
SHOWN = 10
ABSENT = object()


class RunError(ValueError):
  """A run directory that this run may not use: one line, with what to do."""


class RunDirectory:
  """`with RunDirectory(path) as directory`: creates it and holds its lease.

  primary: False in all but one process of a run; such a process only reads.
  """

  def __init__(self, path: str | Path, *, primary: bool = True):
    self.path = Path(path).expanduser().absolute()
    self.checkpoints = self.path / "checkpoints"
    self.tensorboard = self.path / "tensorboard"
    self.samples = self.path / "samples"
    self._primary = primary
    self._lease: Lease | None = None

  def __enter__(self) -> RunDirectory:
    if self._primary:
      try:
        for folder in (self.checkpoints, self.tensorboard, self.samples):
          folder.mkdir(parents=True, exist_ok=True)
        self._lease = Lease(self.path / "lease.json")
      except OSError as error:
        raise RunError(
          f"MODEL_DIR={self.path} cannot be used: {error.strerror} "
          f"({error.filename}). Give a directory that you may write to."
        ) from error
    return self

  def __exit__(self, *error: object) -> None:
    if self._lease:
      self._lease.release()
      self._lease = None

  def check_identity(self, identity: dict) -> None:
    """Notes what this run is on first use; later, checks that it is the same.

    Raises:
      RunError: another run lives here; says in what it differs.
    """
    path = self.path / "identity.json"
    if not path.exists():
      if any(self.checkpoints.glob("[0-9]*")):
        raise RunError(
          f"{self.path} holds checkpoints but no identity.json: it is not known which "
          "run they belong to. Use another MODEL_DIR."
        )
      self._write("identity.json", _json(identity))
      return
    different = differences(json.loads(path.read_text(encoding="utf-8")), identity)
    if different:
      more = f" (+{len(different) - SHOWN} more)" if len(different) > SHOWN else ""
      raise RunError(
        f"{self.path} holds another run: {'; '.join(different[:SHOWN])}{more}. Use "
        "another MODEL_DIR, or the saved values to go on with that run. Free to "
        f"change are {FREE}."
      )

  def write_config(self, text: str) -> None:
    """config.gin: the configuration with all defaults, as of the last start."""
    self._write("config.gin", text)

  def write_summary(self, summary: dict) -> None:
    """summary.json: how the run ended; readers see the old one or the new one."""
    self._write("summary.json", _json(summary))

  def summary(self) -> dict | None:
    """The last summary written, if any."""
    path = self.path / "summary.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None

  def _write(self, name: str, text: str) -> None:
    if not self._primary:
      return
    new = self.path / f".{name}.new"
    with open(new, "w", encoding="utf-8") as file:
      file.write(text)
      file.flush()
      os.fsync(file.fileno())
    os.replace(new, self.path / name)


class Lease:
  """An exclusive lock on a file that says who holds it; never waits.

  The file is never removed: a lock on a removed file excludes nobody.
  """

  def __init__(self, path: Path):
    self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
      fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
      holder = os.pread(self._descriptor, 4096, 0).decode(errors="replace")
      os.close(self._descriptor)
      if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
        error.filename = path
        raise
      raise RunError(
        f"{path.parent} is in use by {_holder(holder)}. Stop that process, or use "
        "another MODEL_DIR."
      ) from None
    _watch_forks()
    HELD.add(self)
    left = os.pread(self._descriptor, 4096, 0).decode(errors="replace")
    if left.strip():
      LOG.info("taking over %s from %s, which ended", path.parent, _holder(left))
    self._fill(
      _json(
        {
          "host": socket.gethostname(),
          "pid": os.getpid(),
          "start": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
          "uuid": str(uuid.uuid4()),
        }
      )
    )

  def release(self) -> None:
    """Empties the file and lets others have the lock."""
    if self in HELD:
      self._fill("")
      self.close()

  def close(self) -> None:
    """Closes this process's copy of the lock without a trace in the file."""
    os.close(self._descriptor)
    HELD.discard(self)

  def _fill(self, text: str) -> None:
    os.ftruncate(self._descriptor, 0)
    os.pwrite(self._descriptor, text.encode(), 0)


HELD: weakref.WeakSet[Lease] = weakref.WeakSet()


@functools.cache
def _watch_forks() -> None:
  """A forked data worker that outlives a killed run must not go on holding its lock."""
  os.register_at_fork(after_in_child=lambda: [held.close() for held in list(HELD)])


def differences(old: Any, new: Any) -> list[str]:
  """One text per value of nested dicts and lists that is not equal.

  >>> differences({"optimizer": {"peak": 0.001}}, {"optimizer": {"peak": 0.002}})
  ['optimizer.peak: saved 0.001, now 0.002']
  """
  saved, now = _flat(json.loads(_json(old))), _flat(json.loads(_json(new)))
  texts = []
  for name in dict.fromkeys([*saved, *now]):
    one, other = saved.get(name, ABSENT), now.get(name, ABSENT)
    if one != other:
      was = "not saved" if one is ABSENT else f"saved {one!r}"
      texts.append(f"{name}: {was}, now {'absent' if other is ABSENT else repr(other)}")
  return texts


def _flat(value: Any, name: str = "") -> dict[str, Any]:
  if isinstance(value, dict) and value:
    parts = {f"{name}.{k}" if name else k: v for k, v in value.items()}
  elif isinstance(value, list) and value:
    parts = {f"{name}[{i}]": v for i, v in enumerate(value)}
  else:
    return {name: value}
  flat: dict[str, Any] = {}
  for part, inner in parts.items():
    flat |= _flat(inner, part)
  return flat


def _json(value: Any) -> str:
  return json.dumps(value, indent=1, sort_keys=True) + "\n"


def _holder(text: str) -> str:
  try:
    lease = json.loads(text)
    return f"process {lease['pid']} on {lease['host']} since {lease['start']}"
  except (ValueError, KeyError, TypeError):
    return "another process"

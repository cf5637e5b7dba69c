"""Ledger: metrics.jsonl, from which everything about a run's course is drawn.

You are in: t5x_like, the edge. Upstream: `train.py`, with values from `metrics.py`.
Downstream: `plot.py`, studies, people. One line for each write:

    {"step": 100, "time": 1790000000.0, "loss": 5.31, "tokens_per_second": 2100.0, ...}

Held-out values have a prefix, as in "validation/loss", and may be lines of their own.
"""

from __future__ import annotations

import json
import math
import os
import time
from pathlib import Path
from typing import IO, Any

import jax

from t5x_like import events

FILE = "metrics.jsonl"
Values = dict[str, Any]


class Ledger:
  """`with Ledger(run_directory) as ledger`: one JSON object per line and written step.

  A line is whole on disk, as far as the kernel goes, when `write` returns; a process
  that is killed leaves at most a torn last line, which the next one drops. TensorBoard
  event files are written beside it, without TensorFlow. Only process 0 writes.
  """

  def __init__(
    self,
    directory: str | Path,
    *,
    resume_step: int | None = None,
    tensorboard: bool = True,
  ):
    """resume_step: lines of later steps are dropped, as they will be made again."""
    self.last: Values = {}
    self._primary = jax.process_index() == 0
    self._path = Path(directory) / FILE
    self._events = Path(directory) / "tensorboard" if tensorboard else None
    self._resume_step = resume_step
    self._file: IO[str] | None = None
    self._writer: events.EventFile | None = None

  def __enter__(self) -> Ledger:
    if self._primary:
      _mend(self._path, self._resume_step)
      self._file = open(self._path, "a", encoding="utf-8")
    return self

  def __exit__(self, *error: object) -> None:
    if self._file:
      self._file.flush()
      os.fsync(self._file.fileno())
      self._file.close()
    if self._writer:
      self._writer.close()

  def write(self, step: int, values: Values) -> None:
    """Appends {"step", "time", ...}. Numbers may be arrays; they are fetched."""
    self.last = {name: _plain(value) for name, value in values.items()}
    if not self._primary:
      return
    line = {"step": step, "time": round(time.time(), 3)} | self.last
    line = {name: _writable(value) for name, value in line.items()}
    self._file.write(json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n")
    self._file.flush()
    if self._events:
      self._write_events(step)

  def _write_events(self, step: int) -> None:
    if self._writer is None:
      after = None if self._resume_step is None else self._resume_step + 1
      self._writer = events.EventFile(self._events, first_step=after)
    numbers = {
      name: float(value)
      for name, value in self.last.items()
      if isinstance(value, int | float)
    }
    self._writer.write(step, numbers)


def read(directory: str | Path) -> list[Values]:
  """All lines of a run's ledger, in order; [] if there is none.

  Raises:
    ValueError: a line other than a torn last one is not readable.
  """
  path = Path(directory) / FILE
  if not path.exists():
    return []
  whole = path.read_bytes().rpartition(b"\n")[0]
  lines = []
  for number, text in enumerate(whole.splitlines(), start=1):
    try:
      lines.append({name: _read(value) for name, value in json.loads(text).items()})
    except ValueError as error:
      raise ValueError(f"{path}, line {number} is not readable: {error}.") from error
  return lines


def _mend(path: Path, resume_step: int | None) -> None:
  """Drops a torn or unreadable end, and lines of steps after `resume_step`."""
  if not path.exists():
    return
  kept, dropped = [], False
  for text in path.read_bytes().splitlines(keepends=True):
    try:
      step = json.loads(text)["step"] if text.endswith(b"\n") else None
    except (ValueError, KeyError, TypeError):
      step = None
    if step is None or (resume_step is not None and step > resume_step):
      dropped = True
    else:
      kept.append(text)
  if dropped:
    new = path.with_suffix(".new")
    new.write_bytes(b"".join(kept))
    os.replace(new, path)


def _plain(value: Any) -> Any:
  """Arrays and numpy scalars -> Python numbers."""
  return value.item() if hasattr(value, "item") else value


def _writable(value: Any) -> Any:
  """JSON has no NaN; "nan", "inf" and "-inf" are what float() reads."""
  return repr(value) if isinstance(value, float) and not math.isfinite(value) else value


def _read(value: Any) -> Any:
  return float(value) if value in ("nan", "inf", "-inf") else value

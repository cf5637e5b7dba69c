"""Artifacts: files derived from data, built once and then only read.

You are in: t5x_like/data, the edge to the disk. Vocabularies (vocab.py), token caches
(tokens.py) and the built-in corpus are artifacts. Each has a path that says exactly what
it was made from, so it is never updated: other settings are another path.

Two processes that want the same artifact build it once: the second waits for the lock of
the first. A build that dies leaves nothing under the final name.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path


def build_once(path: Path, build: Callable[[Path], None]) -> Path:
  """Returns `path`, a file or folder, after building it if it is not there yet.

  Args:
    path: the final place.
    build: writes the artifact to the temporary path it is given.
  """
  if path.exists():
    return path
  path.parent.mkdir(parents=True, exist_ok=True)
  with locked(path):
    if path.exists():
      return path
    temporary = path.with_name(f".{path.name}.building")
    _remove(temporary)  # We hold the lock, so whoever wrote this is dead.
    build(temporary)
    _sync(temporary)
    os.rename(temporary, path)
  return path


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
  """Holds the lock of `path` across processes; it falls with the process that has it."""
  with open(path.with_name(f".{path.name}.lock"), "w") as file:
    fcntl.flock(file, fcntl.LOCK_EX)
    yield


def digest(**facts: object) -> str:
  """sha256 in hexadecimal of named JSON values, whatever their order."""
  return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def file_digest(path: Path) -> str:
  """sha256 of a file's size and content; of 64 blocks spread over it if it is large.

  Large means over 4 MiB. Reading a terabyte to find out that it has not changed would
  cost more than the run; an edit in place that keeps the size may go unseen there.
  """
  block, blocks, size = 64 * 1024, 64, path.stat().st_size
  total = hashlib.sha256(str(size).encode())
  with open(path, "rb") as file:
    if size <= block * blocks:
      total.update(file.read())
    else:
      for number in range(blocks):
        file.seek(number * (size - block) // (blocks - 1))
        total.update(file.read(block))
  return total.hexdigest()


def _remove(path: Path) -> None:
  if path.is_dir():
    shutil.rmtree(path)
  else:
    path.unlink(missing_ok=True)


def _sync(path: Path) -> None:
  """Forces the bytes to the disk, so that the rename never outlives its content."""
  files = (
    [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]
  )
  for file in files:
    with open(file, "rb") as handle:
      os.fsync(handle.fileno())

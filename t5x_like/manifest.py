"""Manifest: what makes the directory of one step complete, and proves it undamaged.

You are in: t5x_like, pure part (no JAX). Orbax keeps no checksum of array bytes: a bit
flipped on disk restores as a wrong number without an error. So `manifest.json`, written
and synced after everything else, lists every file with its size and SHA-256; a step
without one, or that differs from it, is not used. It also holds the paths, shapes and
dtypes of the state, so that a misfit is found before any array is read.
"""

from __future__ import annotations

import concurrent.futures
import hashlib
import json
import os
import time
from pathlib import Path

FILE = "manifest.json"
FORMAT = 1
READERS = 4  # files hashed at once; hashing releases Python's lock


def write(
  directory: Path,
  *,
  step: int,
  tree: dict[str, tuple[tuple[int, ...], str]],
  metrics: dict[str, float] | None,
  versions: dict[str, str],
) -> None:
  """Lists and syncs every file below `directory`, then writes the manifest itself."""
  names = sorted(_files(directory))
  with concurrent.futures.ThreadPoolExecutor(READERS) as pool:
    sums = pool.map(lambda name: _digest(directory / name, sync=True), names)
    files = dict(zip(names, sums, strict=True))
  for folder, _, _ in os.walk(directory):
    sync(Path(folder))
  content = {
    "format": FORMAT,
    "step": step,
    "time": time.time(),
    "metrics": metrics,
    "versions": versions,
    "tree": tree,
    "files": files,
  }
  content["sha256"] = _own_digest(content)
  with open(directory / FILE, "w", encoding="utf-8") as file:
    json.dump(content, file, indent=1)
    file.flush()
    os.fsync(file.fileno())
  sync(directory)


def read(directory: Path) -> dict:
  """The manifest of a step: step, time, metrics, versions, tree, files.

  Raises:
    ValueError: there is none, or it cannot be read; the text says which.
  """
  try:
    content = json.loads((directory / FILE).read_text(encoding="utf-8"))
    intact = content.pop("sha256") == _own_digest(content)
    content["tree"] = {p: (tuple(s), d) for p, (s, d) in content["tree"].items()}
  except OSError as error:
    raise ValueError(f"{FILE}: {error.strerror}") from error
  except (ValueError, KeyError, TypeError, AttributeError) as error:
    raise ValueError(f"{FILE} is not readable") from error
  if not intact:
    raise ValueError(f"{FILE} has changed content")
  return content


def damage(directory: Path, *, step: int) -> str | None:
  """Why this directory is not the complete and undamaged `step`, or None if it is."""
  try:
    content = read(directory)
  except ValueError as error:
    return str(error)
  if content["step"] != step:
    return f"{FILE} belongs to step {content['step']}"
  with concurrent.futures.ThreadPoolExecutor(READERS) as pool:
    reasons = pool.map(lambda item: _damage(directory, *item), content["files"].items())
    return next(filter(None, reasons), None)


def sync(folder: Path) -> None:
  """Makes the entries of a folder durable, where the file system can."""
  descriptor = os.open(folder, os.O_RDONLY)
  try:
    os.fsync(descriptor)
  except OSError:  # some network file systems refuse this for folders
    pass
  finally:
    os.close(descriptor)


def _files(directory: Path) -> list[str]:
  found = [p for p in directory.rglob("*") if p.is_file() and p.name != FILE]
  return [path.relative_to(directory).as_posix() for path in found]


def _digest(path: Path, *, sync: bool = False) -> tuple[int, str]:
  with open(path, "rb") as file:
    if sync:  # Orbax syncs its data files but not the small ones beside them
      os.fsync(file.fileno())
    digest = hashlib.file_digest(file, "sha256").hexdigest()
    return file.tell(), digest


def _own_digest(content: dict) -> str:
  """Of the manifest itself: its tree and metrics decide what is restored and kept."""
  return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _damage(directory: Path, name: str, expected: list) -> str | None:
  path, (size, digest) = directory / name, expected
  try:
    found = path.stat().st_size
    if found != size:
      return f"{name} has {found} bytes instead of {size}"
    return None if _digest(path)[1] == digest else f"{name} has changed content"
  except OSError as error:
    return f"{name}: {error.strerror}"

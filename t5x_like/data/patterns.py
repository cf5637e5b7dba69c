"""File patterns: the names a user gives, the files they mean, and what is in them.

You are in: t5x_like/data, the edge to the disk. Downstream: sources.py.
"""

from __future__ import annotations

import functools
import glob
import os
from pathlib import Path

from t5x_like.data.artifacts import file_digest

Pattern = str | tuple[str, ...]


def matching_files(pattern: Pattern) -> list[Path]:
  """The files of a pattern, sorted and without repeats."""
  patterns = (pattern,) if isinstance(pattern, str) else pattern
  found: set[str] = set()
  for each in patterns:
    matches = glob.glob(os.path.expanduser(each), recursive=True)
    files = [match for match in matches if os.path.isfile(match)]
    if not files:
      raise ValueError(_nothing_at(each, matches))
    found.update(map(os.path.abspath, files))
  return [Path(name) for name in sorted(found)]


def _nothing_at(pattern: str, matches: list[str]) -> str:
  if matches:
    return (
      f"{pattern!r} names a folder. Say which files in it, for example "
      f"{pattern.rstrip('/') + '/**/*.txt'!r}."
    )
  place = Path(os.path.abspath(os.path.expanduser(pattern)))
  there = next(parent for parent in place.parents if parent.is_dir())
  names = sorted(entry.name for entry in there.iterdir())[:8]
  return (
    f"No file matches {pattern!r}: looked for {place}. The nearest folder that exists, "
    f"{there}, holds: {', '.join(names) or 'nothing'}."
  )


def known_digest(path: Path) -> str:
  """`file_digest`, computed again only after the file was written."""
  status = path.stat()
  return _digest(path, (status.st_size, status.st_mtime_ns))


@functools.lru_cache(maxsize=4096)
def _digest(path: Path, state: tuple[int, int]) -> str:
  del state
  return file_digest(path)

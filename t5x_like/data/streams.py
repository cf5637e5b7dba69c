"""Files as streams of bounded pieces: lines, paragraphs, whole texts.

You are in: t5x_like/data, the edge to the disk. Downstream: sources.py, which knows what
the pieces mean. Nothing here holds more than `limit` bytes of a record, whatever the file
contains: a longer one is skipped to its end and counted. `.gz` and `.zst` are unpacked on
the way; a file that ends too early or is damaged loses its rest, which is counted too.
"""

from __future__ import annotations

import gzip
import io
import itertools
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from t5x_like.data.records import Report

Piece = tuple[str, bytes]  # (where it starts, as "file:line"; its bytes)

_BOM = b"\xef\xbb\xbf"  # Some editors write it before UTF-8; it means nothing.
_DAMAGE = (EOFError, OSError, zlib.error)  # What unpacking raises on damaged files.


def lines(path: Path, *, limit: int, report: Report) -> Iterator[Piece]:
  """Every line without its end."""
  for number, line in _lines(path, limit, report):
    if line is None:
      report.skip("too_long", f"{path}:{number}")
    else:
      yield f"{path}:{number}", line.rstrip(b"\r\n")


def paragraphs(path: Path, *, limit: int, report: Report) -> Iterator[Piece]:
  """Runs of lines between blank ones, with their inner line ends."""
  start, held, size = 0, [], 0
  for number, line in itertools.chain(_lines(path, limit, report), [(0, b"\n")]):
    if line is None or line.strip():
      start = start or number
      size += limit + 1 if line is None else len(line)
      if size > limit:
        held = []
      else:
        held.append(line)
    elif start:
      if size > limit:
        report.skip("too_long", f"{path}:{start}")
      else:
        yield f"{path}:{start}", b"".join(held).replace(b"\r\n", b"\n").rstrip(b"\n")
      start, held, size = 0, [], 0


def texts(path: Path, *, limit: int, report: Report) -> Iterator[Piece]:
  """The whole file as one piece."""
  with _opened(path) as file:
    try:
      text = file.read(limit + 1)
    except _DAMAGE as error:
      return _damaged(error, f"{path}:1", report)
  if len(text) > limit:
    report.skip("too_long", f"{path}:1")
  else:
    yield f"{path}:1", text.removeprefix(_BOM).replace(b"\r\n", b"\n")


def _lines(
  path: Path, limit: int, report: Report
) -> Iterator[tuple[int, bytes | None]]:
  """Yields (number, line with its end), with None for a line longer than `limit`."""
  number = 0
  with _opened(path) as file:
    try:
      while line := file.readline(limit + 1):
        number += 1
        whole = len(line) <= limit or line.endswith(b"\n")
        yield number, _without_bom(line, number) if whole else None
        while not whole:
          line = file.readline(limit + 1)
          whole = not line or line.endswith(b"\n")
    except _DAMAGE as error:
      _damaged(error, f"{path}:{number + 1}", report)


def _without_bom(line: bytes, number: int) -> bytes:
  return line.removeprefix(_BOM) if number == 1 else line


def _damaged(error: Exception, where: str, report: Report) -> None:
  """Counts damage inside a file; an error of the disk or network is no such thing."""
  if getattr(error, "errno", None):
    raise error
  report.skip("truncated_file", where)


def _opened(path: Path) -> BinaryIO:
  if path.suffix == ".gz":
    return gzip.open(path, "rb")
  if path.suffix == ".zst":
    import pyarrow  # Slow to import; unlike others it notices when a stream is cut.

    stream = pyarrow.CompressedInputStream(pyarrow.OSFile(str(path)), "zstd")
    return io.BufferedReader(stream, 1 << 16)  # What a damaged end may cost.
  return open(path, "rb", buffering=1 << 20)

"""Points: measured runs from a CSV file, with every exclusion counted.

You are in: t5x_like/study, the edge: reads a file. Downstream: verbs.py.
"""

from __future__ import annotations

import csv
import dataclasses
from pathlib import Path

import numpy as np

from t5x_like.statements import ConfigError, nearest


@dataclasses.dataclass(frozen=True)
class Points:
  """columns: {name: [n]}, text where a column holds any. lines: [n], where in the file.
  others: rows that `where` left out."""

  path: str
  columns: dict[str, np.ndarray]
  lines: np.ndarray
  others: int

  def numbers(self, name: str) -> np.ndarray:
    """The column, if it holds numbers."""
    values = self.columns[name]
    if values.dtype.kind != "f":
      at = next(i for i, cell in enumerate(values) if not _is_number(cell))
      raise ConfigError(
        f"{self.path}, line {self.lines[at]}: {str(values[at])!r} in column {name!r} is "
        "no number."
      )
    return values


def read(path: str, columns: list[str], where: dict[str, str] | None = None) -> Points:
  """Some columns of a CSV file. where: {column: what its cells must be}.

  Raises ConfigError for a missing file or column and for empty cells, with the line.
  """
  where = where or {}
  file = Path(path).expanduser()
  if not file.is_file():
    raise ConfigError(f"--csv={path} is no file.")
  with file.open(encoding="utf-8-sig", newline="") as opened:
    reader = csv.DictReader(opened)
    rows = list(enumerate(reader, 2))
  known = reader.fieldnames or []
  for column in [*columns, *where]:
    if column not in known:
      raise ConfigError(
        f"{path} has no column {column!r}{nearest(column, known)} (it has: "
        f"{', '.join(known)})"
      )
  kept = [
    (line, row) for line, row in rows if all(row[c] == v for c, v in where.items())
  ]
  if not kept:
    rule = " and ".join(f"{column}={value}" for column, value in where.items())
    raise ConfigError(f"{path} has no row{rule and f' with {rule}'}.")
  found = {column: _column(path, kept, column) for column in columns}
  lines = np.array([line for line, _ in kept])
  return Points(path, found, lines, len(rows) - len(kept))


def _column(path: str, rows: list[tuple[int, dict]], name: str) -> np.ndarray:
  cells = [(row[name] or "").strip() for _, row in rows]
  if "" in cells:
    raise ConfigError(
      f"{path}, line {rows[cells.index('')][0]}: column {name!r} is empty. Fill it in, "
      "or leave the run out (--where) and say so."
    )
  try:
    return np.array([float(cell) for cell in cells])
  except ValueError:
    return np.array(cells)


def _is_number(cell: str) -> bool:
  try:
    float(cell)
  except ValueError:
    return False
  return True

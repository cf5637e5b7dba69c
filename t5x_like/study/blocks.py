"""Blocks: what a report is made of, without a format.

You are in: t5x_like/study, pure part (standard library only). Upstream: document.py and
laws_section.py make them. Downstream: page.py, markdown.py and latex.py know how each
looks and nothing else.
"""

from __future__ import annotations

import dataclasses

block = dataclasses.dataclass(frozen=True)


@block
class Heading:
  text: str


@block
class Paragraph:
  text: str


@block
class Warning:
  """What a reader must not miss."""

  text: str


@block
class Table:
  """caption: what it shows. Cells are text."""

  caption: str
  columns: tuple[str, ...]
  rows: tuple[tuple[str, ...], ...]


@block
class Drawing:
  """A figure of figures.py by name."""

  name: str
  caption: str


@block
class Code:
  """Text in which spaces and line ends count. folded: shown when asked for."""

  text: str
  folded: str = ""


Block = Heading | Paragraph | Warning | Table | Drawing | Code


def filled(caption: str, columns: tuple[str, ...], rows: list[tuple]) -> Table:
  """A table without the columns in which no row says anything."""
  kept = [i for i in range(len(columns)) if any(row[i] for row in rows)]
  return Table(
    caption,
    tuple(columns[i] for i in kept),
    tuple(tuple(row[i] for i in kept) for row in rows),
  )

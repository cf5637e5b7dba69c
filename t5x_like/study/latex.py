"""LaTeX: the tables of a report, for a paper with the package booktabs.

You are in: t5x_like/study, pure part (standard library only). Upstream: blocks.py.
"""

from __future__ import annotations

from collections.abc import Sequence

from t5x_like.study.blocks import Block, Table

SPECIAL = {c: f"\\{c}" for c in "&%$#_{}"} | {
  "\\": r"\textbackslash{}",
  "~": r"\textasciitilde{}",
  "^": r"\textasciicircum{}",
}


def latex(blocks: Sequence[Block]) -> str:
  """Every table of the report, in its order."""
  return "\n".join(_table(block) for block in blocks if isinstance(block, Table))


def _table(block: Table) -> str:
  lines = [
    r"\begin{table}",
    rf"\caption{{{_text(block.caption)}}}",
    rf"\begin{{tabular}}{{{'l' * len(block.columns)}}}",
    r"\toprule",
    _line(block.columns),
    r"\midrule",
    *map(_line, block.rows),
    r"\bottomrule",
    r"\end{tabular}",
    r"\end{table}",
    "",
  ]
  return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
  return rf"{' & '.join(map(_text, cells))} \\"


def _text(text: str) -> str:
  return "".join(SPECIAL.get(character, character) for character in text)

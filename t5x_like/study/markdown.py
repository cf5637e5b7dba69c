"""Markdown: a report as text for a repository or a paper's appendix.

You are in: t5x_like/study, pure part (standard library only). Upstream: blocks.py.
Drawings are linked as figures/NAME.png beside the file.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from t5x_like.study.blocks import (
  Block,
  Code,
  Drawing,
  Heading,
  Paragraph,
  Table,
  Warning,
)


def markdown(blocks: Sequence[Block], drawings: Collection[str]) -> str:
  """drawings: names of those there are."""
  title = next(block for block in blocks if isinstance(block, Heading))
  texts = [
    f"# {block.text}" if block is title else _block(block, drawings) for block in blocks
  ]
  return "\n\n".join(filter(None, texts)) + "\n"


def _block(block: Block, drawings: Collection[str]) -> str:
  match block:
    case Heading(text):
      return f"## {text}"
    case Paragraph(text):
      return text
    case Warning(text):
      return f"> **Note.** {text}"
    case Code(text, folded):
      fenced = f"```\n{text}\n```"
      if not folded:
        return fenced
      return f"<details><summary>{folded}</summary>\n\n{fenced}\n\n</details>"
    case Drawing(name, caption):
      return f"![{caption}](figures/{name}.png)" if name in drawings else ""
    case Table(caption, columns, rows):
      lines = [columns, ["---"] * len(columns), *rows]
      table = "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)
      return f"{caption}\n\n{table}"
  raise AssertionError(block)


def _cell(text: str) -> str:
  return text.replace("|", "\\|")

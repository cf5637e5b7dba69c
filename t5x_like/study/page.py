"""Page: a report as one HTML file that needs nothing else.

You are in: t5x_like/study, pure part (standard library only). Upstream: blocks.py, and
drawings as SVG. No script, no font and no address of anything; light or dark as the
reader's browser is, and as wide as a phone.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from t5x_like.study.blocks import (
  Block,
  Code,
  Drawing,
  Heading,
  Paragraph,
  Table,
  Warning,
)

STYLE = """
:root { color-scheme: light dark; --ink: #1d2430; --paper: #ffffff; --line: #d5dae1;
  --soft: #f4f6f8; --warn: #fff3d6; --edge: #d99a00; }
@media (prefers-color-scheme: dark) { :root { --ink: #dfe4ea; --paper: #14181e;
  --line: #39424d; --soft: #1d232b; --warn: #3a2f12; --edge: #d99a00; } }
body { font: 16px/1.55 system-ui, sans-serif; color: var(--ink);
  background: var(--paper); max-width: 1080px; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.5rem; line-height: 1.25; } h2 { font-size: 1.2rem; margin-top: 2.2rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: 0.85rem; font-variant-numeric: tabular-nums; }
th, td { padding: 0.25rem 0.6rem; text-align: left; vertical-align: top;
  border-bottom: 1px solid var(--line); }
td { min-width: 9rem; } td.short { white-space: nowrap; min-width: 0; }
th { background: var(--soft); } caption { text-align: left; padding: 0.4rem 0; }
figure { margin: 1.2rem 0; } figure svg { width: 100%; height: auto; max-width: 900px; }
figcaption { font-size: 0.85rem; opacity: 0.85; }
pre { background: var(--soft); padding: 0.7rem; overflow-x: auto; font-size: 0.8rem; }
.warning { background: var(--warn); border-left: 4px solid var(--edge);
  padding: 0.5rem 0.8rem; }
"""
SHORT = 34  # characters of a cell that is kept on one line


def html(blocks: Sequence[Block], drawings: dict[str, str]) -> str:
  """drawings: {name: <svg> element}; a Drawing without one is left out."""
  title = next(block.text for block in blocks if isinstance(block, Heading))
  body = "\n".join(_block(block, drawings, title) for block in blocks)
  return (
    '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
    '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
    f"<title>{escape(title)}</title><style>{STYLE}</style></head>\n"
    f"<body>\n{body}\n</body></html>\n"
  )


def _block(block: Block, drawings: dict[str, str], title: str) -> str:
  match block:
    case Heading(text):
      level = "h1" if text == title else "h2"
      return f"<{level}>{escape(text)}</{level}>"
    case Paragraph(text):
      return f"<p>{escape(text)}</p>"
    case Warning(text):
      return f'<p class="warning">{escape(text)}</p>'
    case Code(text, folded=""):
      return f"<pre>{escape(text)}</pre>"
    case Code(text, folded):
      summary = f"<summary>{escape(folded)}</summary>"
      return f"<details>{summary}<pre>{escape(text)}</pre></details>"
    case Drawing(name, caption):
      if name not in drawings:
        return ""
      caption = f"<figcaption>{escape(caption)}</figcaption>"
      return f"<figure>{drawings[name]}{caption}</figure>"
    case Table():
      return _table(block)
  raise AssertionError(block)


def _table(block: Table) -> str:
  head = "".join(f"<th>{escape(name)}</th>" for name in block.columns)
  rows = "".join(f"<tr>{''.join(map(_cell, row))}</tr>\n" for row in block.rows)
  return (
    f'<div class="wide"><table><caption>{escape(block.caption)}</caption>\n'
    f"<thead><tr>{head}</tr></thead>\n<tbody>{rows}</tbody></table></div>"
  )


def _cell(text: str) -> str:
  kind = ' class="short"' if len(text) <= SHORT else ""
  return f"<td{kind}>{escape(text)}</td>"

"""What the parity tests measure, kept in tests/golden/parity.json for docs/zoo.md.

You are in: tests. `pytest tests/models tests/interop tests/test_zoo.py --update-golden`
measures anew and writes both; other runs write nothing, because the last digit of such a
figure depends on the machine.
"""

import json
from pathlib import Path

import literature

from models.components import param
from models.zoo import FAMILIES

ROOT = Path(__file__).resolve().parents[2]
FIGURES = ROOT / "tests" / "golden" / "parity.json"
HEADER = """\
# The zoo

Written by `pytest tests/models tests/interop tests/test_zoo.py --update-golden`; do not
edit. `t5x_like zoo` lists the same models, `t5x_like zoo MODEL` says what one costs.

## Numbers beside an independent implementation

The same random weights on both sides, float32 on a CPU; differences of logits relative
to the largest logit, of the loss's gradients to the largest element of that parameter's,
the worst of all parameters. "In and out": `t5x_like import` and `export` return every
tensor byte by byte, and the class loads it and computes the same.

| case | reference | logits | gradients | in and out |
|---|---|---|---|---|
"""
FAMILY_HEADER = """
## Families

Parameters are counted from declared shapes, and equal the published number where there
is an exact one (`t5x_like zoo --json` says what it includes).

| family | kind | year | paper | sizes | compared with |
|---|---|---|---|---|---|
"""


def note(update: bool, case: str, **figures: object) -> None:
  """Keeps figures of a case; numbers as one digit and an exponent."""
  if not update:
    return
  kept = json.loads(FIGURES.read_text()) if FIGURES.exists() else {}
  shown = {k: f"{v:.0e}" if isinstance(v, float) else v for k, v in figures.items()}
  kept[case] = kept.get(case, {}) | shown
  FIGURES.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n")


def text() -> str:
  """docs/zoo.md."""
  lines = [HEADER]
  for case, figures in json.loads(FIGURES.read_text()).items():
    cells = [
      figures.get(key, "") for key in ("reference", "logits", "gradients", "trip")
    ]
    lines.append(f"| {' | '.join([case, *cells])} |\n")
  lines.append(FAMILY_HEADER)
  lines += [f"| {' | '.join(_family(family))} |\n" for family in FAMILIES]
  return "".join(lines) + literature.text()


def _family(family) -> list[str]:
  sizes = []
  for row in family.rows():
    size = row.name.rpartition("/")[2]
    if row.parameters is None and not size.startswith("tiny"):
      sizes.append(f"{size} {param.count(row.spec()):,} (no exact figure published)")
    elif row.parameters is not None:
      sizes.append(f"{size} {row.parameters:,}")
  shown = "; ".join(sizes)
  return [
    family.name,
    family.kind,
    str(family.year),
    family.paper,
    shown,
    family.reference,
  ]

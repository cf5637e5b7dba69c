"""Flags of `study coord-check`, with working examples.

You are in: t5x_like/study, standard library only: `--help` must answer at once. Upstream:
flags.py. Downstream: t5x_like/coordinate_check.py.
"""

from __future__ import annotations

import argparse

VERB = "study coord-check"
EXAMPLES = {
  VERB: """\
  t5x_like study coord-check --gin_file=studies/lr_transfer/base.gin \\
    --widths=32,64,128,256 --parametrisation=given,mup --out=coordinates.png
  t5x_like study coord-check --gin_file=studies/lr_transfer/base.gin \\
    --depths=2,4,8 --parametrisation=mup,complete-p""",
}
SUMMARIES = {
  VERB: "Whether what a few steps change is as large at every width or depth.",
}


def add_flags(parser: argparse.ArgumentParser) -> None:
  """The flags of the verb."""
  add = parser.add_argument
  add("--gin_file", action="append", default=[], help="a run; repeat, later wins")
  add("--gin.NAME", metavar="VALUE", dest="gin_name", help="bind a macro or parameter")
  add("--gin_bindings", action="append", default=[], help='the same, "NAME = VALUE"')
  add("--gin_search_paths", action="append", default=[], help="more folders, by commas")
  add("--widths", help="sizes of `dim`; hidden and heads grow with it: 32,64,128")
  add("--depths", help="numbers of layers: 2,4,8")
  add("--steps", type=int, default=4, help="steps of training (default 4)")
  add(
    "--rate", type=float, help="constant learning rate (default: the schedule's peak)"
  )
  add(
    "--parametrisation",
    default="given",
    help="by commas: given (the files'), mup, complete-p (base: the smallest size)",
  )
  add("--out", help="figure to draw, .png or .svg")

"""Flags of `t5x_like study ...`, with a working example for every verb.

You are in: t5x_like/study, standard library only: `--help` must answer at once. Upstream:
t5x_like/flags.py. Downstream: verbs.py.
"""

from __future__ import annotations

import argparse

from t5x_like.study import coordinate_flags as coordinates
from t5x_like.study import running_flags as running

EXAMPLES = {
  "study fit": """\
  t5x_like study fit --csv=runs.csv --n=params --d=tokens --loss=loss --budget=1e21
  t5x_like study fit --csv=runs.csv --n=params --flops=flops --loss=loss --group=flops \\
    --drop_highest=5 --json
  t5x_like study fit --csv=runs.csv --n=params --flops=budget --loss=loss --method=isoflop
  t5x_like study fit --csv=runs.csv --x=flops --loss=loss --law=power-law-floor
  t5x_like study fit --csv=runs/ladder/report/points.csv --x=flops --loss=value \\
    --law=power-law --where=arm=old --where=state=done

Exit status 5: fitted, but the points do not identify every constant.""",
  "study predict": """\
  t5x_like study predict --csv=runs.csv --n=params --d=tokens --loss=loss \\
    --at=n=7e9,d=2e12 --at=n=7e9,d=1.5e13
  t5x_like study predict --csv=runs/ladder/report/points.csv --x=flops --loss=value \\
    --law=power-law-floor --where=arm=old --where=state=done --at=x=1e20""",
  **running.EXAMPLES,
  **coordinates.EXAMPLES,
}
SUMMARIES = {
  "study fit": "A scaling law through your points, with intervals and what is not known.",
  "study predict": "The loss of runs not made yet, by a law through your points.",
  **running.SUMMARIES,
  **coordinates.SUMMARIES,
}
LAWS = {
  "chinchilla": "E + A / N^alpha + B / D^beta",
  "chinchilla-tied": "the same with alpha = beta",
  "kaplan": "[(N_c / N)^(alpha_N / alpha_D) + D_c / D]^alpha_D",
  "over-training": "E + (a M^eta + b M^-eta) C^-eta, M = D / N (Gadre)",
  "repeat": "chinchilla of effective N and D, with --u (Muennighoff)",
  "routed": "bilinear in log N and log experts, with --experts (Clark)",
  "power-law": "A x^-alpha, with --x",
  "power-law-floor": "E + A x^-alpha, with --x",
  "hyperparameter": "k N^p D^q, of a learning rate or batch size",
  "sigmoid": "accuracy by loss, with --x",
  "exponential": "error by loss, with --x (Gadre)",
}
METHODS = {
  "huber": "robust, on logarithms (default)",
  "squares": "least squares of logarithms",
  "isoflop": "approach 2: a parabola for each value of --flops",
  "envelope": "approach 1: the lowest of the curves named by --group",
}


def add_flags(parser: argparse.ArgumentParser, verb: str) -> None:
  """The flags of a study verb."""
  if verb in running.SUMMARIES:
    running.add_flags(parser, verb)
    return
  if verb == coordinates.VERB:
    coordinates.add_flags(parser)
    return
  _add_point_flags(parser)
  add = parser.add_argument
  methods = {name: METHODS[name] for name in ("huber", "squares")}
  if verb == "study predict":
    add("--at", action="append", required=True, help="n=1e9,d=2e10 or x=1e20; repeat")
  else:
    methods = METHODS
    _add_fit_flags(parser)
  add("--method", choices=tuple(methods), default="huber", help=_listed(methods))


def _add_point_flags(parser: argparse.ArgumentParser) -> None:
  """What is read, and the law through it."""
  add = parser.add_argument
  add(
    "--csv", required=True, help="file of measured points, a header in its first line"
  )
  add("--loss", required=True, help="column of what is to be predicted")
  add("--n", help="column of parameters")
  add("--d", help="column of tokens")
  add("--flops", help="column of training FLOPs; gives tokens as C / 6N without --d")
  add("--u", help="column of unique tokens")
  add("--experts", help="column of numbers of experts")
  add("--x", help="column of the one variable of a law of one variable")
  add("--group", help="column: resample its values whole; curves of an envelope")
  add("--law", choices=tuple(LAWS), default="chinchilla", help=_listed(LAWS))
  add("--delta", type=float, default=1e-3, help="where Huber's loss turns straight")
  add(
    "--fix",
    action="append",
    default=[],
    metavar="NAME=VALUE",
    help="hold a constant; repeat",
  )
  add(
    "--where",
    action="append",
    default=[],
    metavar="COLUMN=TEXT",
    help="only rows in which this holds; repeat",
  )
  add("--drop_highest", type=int, default=0, help="leave out this many highest losses")
  add(
    "--starts", choices=("search", "grid"), default="search", help="grid: 4500 starts"
  )
  add("--bootstrap", type=int, default=1000, help="resamples; 0 for none")
  add("--seed", type=int, default=0, help="of the resampling")


def _add_fit_flags(parser: argparse.ArgumentParser) -> None:
  """What is said of the law."""
  add = parser.add_argument
  add(
    "--compare",
    metavar="NAME=VALUE,...",
    help="all constants, as published: how well they fit these points",
  )
  add(
    "--budget",
    type=float,
    action="append",
    default=[],
    help="FLOPs to find the best N and D for; repeat",
  )


def _listed(choices: dict[str, str]) -> str:
  lines = "; ".join(f"{name}: {text}" for name, text in choices.items())
  return lines.replace("%", "%%")

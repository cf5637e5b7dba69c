"""Flags of the verbs that run a study, with a working example for every verb.

You are in: t5x_like/study, standard library only: `--help` must answer at once. Upstream:
flags.py. Downstream: running.py.
"""

from __future__ import annotations

import argparse

from t5x_like.launching import flags as launching

EXAMPLES = {
  "study plan": """\
  t5x_like study plan --gin_file=studies/tiny_ffn/study.gin
  t5x_like study plan --gin_file=studies/tiny_ffn/study.gin --gin.TRAIN_STEPS=100 --json""",
  "study run": """\
  t5x_like study run --gin_file=studies/tiny_ffn/study.gin --workers=2
  t5x_like study run --gin_file=studies/tiny_ffn/study.gin --workers=16 \\
    --engine=slurm --sbatch=--gpus=1 --sbatch=--time=4:00:00
  t5x_like study run --gin_file=studies/tiny_ffn/study.gin --workers=16 \\
    --engine=k8s --image=registry/t5x_like:1 --volume=shared:/mnt/shared --gpus=1
  t5x_like study run --gin_file=studies/tiny_ffn/study.gin --workers=16 \\
    --engine=ray --ray=num_gpus=1

The same command again continues. A second one, anywhere on a shared file system, helps.
Exit status 4: the study ended, but some cells failed.""",
  "study worker": """\
  t5x_like study worker --study_dir=runs/tiny_ffn
  t5x_like study worker --study_dir=runs/tiny_ffn --cells=1 --nowait""",
  "study status": """\
  t5x_like study status --study_dir=runs/tiny_ffn --watch""",
  "study compare": """\
  t5x_like study compare --study_dir=runs/tiny_ffn
  t5x_like study compare --study_dir=runs/tiny_ffn --metric=validation/accuracy --json""",
  "study report": """\
  t5x_like study report --study_dir=runs/tiny_ffn
  t5x_like study report --study_dir=runs/ladder --out=docs/studies/ladder --budget=1e21

Writes report.html (one file, nothing else needed), report.md, tables.tex, points.csv and
figures/. A study that still runs is reported as far as it is.""",
}
SUMMARIES = {
  "study plan": "What a study would run, and what that costs; writes its directory.",
  "study run": "Run a study's missing cells on this machine, several at a time.",
  "study worker": "Run cells of a planned study, on any machine that sees its directory.",
  "study status": "Which cells are done, running (how far), waiting or failed (why).",
  "study compare": "Arms beside the baseline: paired differences, intervals, verdicts.",
  "study report": "A study as one HTML page, Markdown, LaTeX tables, figures and a CSV.",
}


def add_flags(parser: argparse.ArgumentParser, verb: str) -> None:
  """The flags of a verb of SUMMARIES."""
  add = parser.add_argument
  default = "runs/<Study.name>" if verb in ("study plan", "study run") else None
  help = "the study's directory" + (f" (default: {default})" if default else "")
  add("--study_dir", required=default is None, help=help)
  if default:
    _add_plan_flags(parser)
  if verb in ("study run", "study worker"):
    _add_worker_flags(parser, verb)
  if verb == "study status":
    add("--watch", action="store_true", help="again every two seconds, until the end")
    add("--cells", type=int, default=40, help="most cells to list")
  if verb == "study compare":
    add("--metric", help="a name in metrics.jsonl (default: Study.metric)")
    add("--mixed", action="store_true", help="compare what is not comparable, labelled")
  if verb == "study report":
    add("--out", help="folder to write (default: report/ in the study's directory)")
    add("--bootstrap", type=int, default=1000, help="resamples of a law's points")
    add(
      "--budget",
      type=float,
      action="append",
      default=[],
      help="FLOPs to predict the loss of, by the law of each arm; repeat",
    )
    add("--seed", type=int, default=0, help="of the resampling")


def _add_plan_flags(parser: argparse.ArgumentParser) -> None:
  add = parser.add_argument
  add("--gin_file", action="append", default=[], help="the study; repeat, later wins")
  add(
    "--gin.NAME",
    metavar="VALUE",
    dest="gin_name",
    help="bind study.*, sweep.* or tune.* of the study, or anything else of the base run",
  )
  add("--gin_bindings", action="append", default=[], help='the same, "NAME = VALUE"')
  add("--gin_search_paths", action="append", default=[], help="more folders, by commas")
  add("--data_dir", help="where prepared data and token caches are kept")
  add(
    "--accept_code",
    metavar="REASON",
    help="the code changed, results did not: keep those there are",
  )
  add("--new_code", action="store_true", help="the code changed: run every cell again")


def _add_worker_flags(parser: argparse.ArgumentParser, verb: str) -> None:
  add = parser.add_argument
  if verb == "study run":
    add("--workers", type=int, default=1, help="runs at a time, on disjoint cores")
    add(
      "--engine",
      choices=("here", "slurm", "k8s", "ray"),
      default="here",
      help="slurm, k8s: submit a job of as many workers, and return; ray: wait",
    )
    add("--sbatch", action="append", default=[], help="an option of sbatch; repeat")
    add(
      "--ray",
      action="append",
      default=[],
      metavar="NAME=VALUE",
      help="an option of a Ray task, such as num_gpus=1; repeat",
    )
    launching.add_pod_flags(parser)
    add("--gpus", type=int, default=0, help="k8s: NVIDIA GPUs of every pod")
    add("--retry_failed", action="store_true", help="try failed cells again")
  else:
    add("--slot", type=int, default=0, help="which share of the cores, from 0")
    add("--slots", type=int, default=1, help="shares of the cores")
    add("--cells", type=int, help="end after this many")
    add("--nowait", action="store_true", help="end when others run all that is left")
  add("--heartbeat", type=float, default=30.0, help="seconds between signs of life")
  add("--expiry", type=float, default=300.0, help="seconds of silence of a dead worker")

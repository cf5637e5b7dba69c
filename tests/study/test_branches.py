"""One trunk, many horizons: branches end bit by bit like runs from the first step."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest
from planted_study import branched, planted

from t5x_like import config, main
from t5x_like.checkpoint import Checkpointer
from t5x_like.engine import Engine
from t5x_like.study import branch_text, branches, cells, claims, measured, worker
from t5x_like.study.store import Store
from t5x_like.study.study import Arm, Seeds, Study
from t5x_like.study.sweep import Grid, Isoflop

ROOT = Path(__file__).resolve().parents[2]
WSD = (
  "optim.AdamW.learning_rate = @schedules.WSD()",
  "schedules.WSD.peak = 1e-2",
  "schedules.WSD.warmup = 2",
  "schedules.WSD.steps = %TRAIN_STEPS",
  "schedules.WSD.decay = 0.25",
)
LENGTHS = Grid(of={"TRAIN_STEPS": [8, 16]})


def expand(*more: str, axes=(LENGTHS,), seeds=(0,), rates=WSD, **how):
  how = {"schedule": "wsd_branch", "arms": (Arm(name="a"),)} | how
  base = ("studies/tiny_ffn/base.gin",)
  seeds = Seeds(values=seeds)
  study = Study(name="s", base=base, seeds=seeds, axes=axes, **how)
  return cells.expand(study, code="0", bindings=(*rates, *more))


# ---- the plan


def test_the_longest_run_is_the_trunk_and_the_others_pay_their_decay_alone():
  short, long = expand().cells
  assert long.branch is None
  assert short.branch["of"] == long.address and short.branch["step"] == 6
  assert short.branch["tokens"] == short.tokens // 4
  assert short.branch["flops"] == short.flops / 4


def test_a_branch_is_addressed_through_its_trunk_and_a_trunk_like_a_run_alone():
  short, long = expand().cells
  alone = {c.steps: c.address for c in expand(schedule="matched").cells}
  assert long.address == alone[16] and short.address != alone[8]
  longer = Grid(of={"TRAIN_STEPS": [8, 32]})
  assert expand(axes=(longer,)).cells[0].address != short.address


def test_arms_sizes_and_seeds_have_trunks_of_their_own():
  wide = Arm(name="b", bindings=("llama.llama.hidden = 64",))
  axis = Isoflop(
    budgets=(1e9, 4e9),
    of={"s": ["llama.llama.dim = 16"], "l": []},
    seeds={4e9: (0,)},
  )
  found = expand(arms=(Arm(name="a"), wide), axes=(axis,), seeds=(0, 1)).cells
  known = {cell.address: cell for cell in found}
  left = [cell for cell in found if cell.branch]
  assert len(left) == 4 and {cell.seed for cell in left} == {0}
  for cell in left:
    trunk = known[cell.branch["of"]]
    assert (trunk.arm, trunk.params, trunk.seed) == (cell.arm, cell.params, 0)
    assert trunk.point["size"] == cell.point["size"] and trunk.steps > cell.steps


def test_what_cannot_share_a_trunk_is_refused():
  with pytest.raises(ValueError, match="no two runs differ in their length alone"):
    expand(axes=())
  with pytest.raises(ValueError, match="is no schedules.WSD"):
    expand(rates=("optim.AdamW.learning_rate = 1e-3",))
  with pytest.raises(ValueError, match="schedules.WSD.steps = %TRAIN_STEPS"):
    expand("schedules.WSD.steps = 16")


# ---- the numbers


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
  """(store, {"trunk", "branch", "alone"}: cells), each trained by its own command."""
  folder = tmp_path_factory.mktemp("branches")
  random = np.random.default_rng(0)
  words = "where the rate falls the short one leaves the long one".split()
  lines = [" ".join(random.choice(words, 30)) for _ in range(100)]
  (folder / "text.txt").write_text("\n".join(lines))
  more = (
    "MIXTURE_OR_TASK_NAME = 'text_files_causal_lm'",
    f"TEXT_FILES = {str(folder / 'text.txt')!r}",
    "VALIDATION_FRACTION = 0.2",
    "TASK_FEATURE_LENGTHS = {'targets': 16}",
    "BATCH_SIZE = 4",
    "llama.llama.layers = 1",
    "LOG_PERIOD = 1",
    "EVAL_STEPS = 1",
    "CHECKPOINT_PERIOD = 7",
    "run.Run.ema = 0.9",
  )
  found = expand(*more)
  apart = expand(*more, schedule="matched")
  chosen = dict(zip(("branch", "trunk"), found.cells, strict=True))
  chosen["alone"] = apart.cells[0]
  store = Store(folder / "study")
  chosen = {name: vars(cell) for name, cell in chosen.items()}
  plan = {"cells": list(chosen.values()), "data_dir": str(folder / "data")}
  plan["command"] = ["python", "-m", "t5x_like.main", "train"]
  store.write_plan(plan, found.texts | apart.texts)
  for name in ("trunk", "branch", "alone"):
    train(store, chosen[name])
  return store, chosen


def train(store, cell):
  assert main.main(worker.command(store, cell)[3:]) == 0


def ended(store, cell):
  """The last checkpoint: the whole state, the place in the data, what was counted."""
  folder = store.folder(cell)
  run = config.parse([str(folder / "config.gin")]).build()
  checkpoints = Checkpointer(folder / "checkpoints")
  state, data, meta = checkpoints.restore(Engine(run).abstract_state())
  return (
    jax.device_get(state),
    data,
    {"tokens": meta["tokens_seen"], "step": data["step"]},
  )


def same(one, other):
  assert jax.tree.structure(one) == jax.tree.structure(other)
  for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
    np.testing.assert_array_equal(a, b)


def lines(store, cell, since):
  """Lines of the ledger after a step, but for what a clock says."""
  text = (store.folder(cell) / "metrics.jsonl").read_text()
  kept = ("step", "loss", "gradient_norm", "learning_rate", "parameter_norm", "epoch")
  kept += ("tokens_seen", "validation/loss", "validation/accuracy")
  found = [json.loads(line) for line in text.splitlines()]
  return [{k: v for k, v in x.items() if k in kept} for x in found if x["step"] > since]


def test_a_branch_ends_bit_by_bit_like_a_run_from_the_first_step(trained):
  store, chosen = trained
  branch, alone = chosen["branch"], chosen["alone"]
  same(ended(store, branch), ended(store, alone))
  assert lines(store, branch, 0) == lines(store, alone, 6)
  rates = [line.get("learning_rate") for line in lines(store, branch, 0)]
  assert rates[0] > rates[1], "the branch decays"
  assert len(lines(store, alone, 0)) > 6


def test_a_killed_branch_goes_on_from_its_own_checkpoint(trained):
  store, chosen = trained
  branch = chosen["branch"]
  saved = store.folder(branch) / "checkpoints"
  assert sorted(path.name for path in saved.iterdir()) == ["7", "8"]
  (saved / "8").rename(saved / "saving-8-0")  # as a kill during the last save leaves it
  train(store, branch)
  same(ended(store, branch), ended(store, chosen["alone"]))
  assert [line["step"] for line in lines(store, branch, 0)][:2] == [7, 8]


def test_a_trunk_that_is_another_run_is_refused(trained, capsys):
  store, chosen = trained
  words = worker.command(store, chosen["branch"])[3:]
  place = f"--gin_bindings=run.Run.model_dir = {str(store.root / 'other')!r}"
  assert main.main([*words, place, "--gin.run.Run.ema=0.5"]) == 2
  assert "is no trunk of this run: ema: saved 0.9, now 0.5" in capsys.readouterr().err


# ---- the queue


@pytest.fixture
def queue(tmp_path):
  """A study of a branch, leaving after step 10, before its trunk in the queue."""

  def make(**trunk):
    arms = {"branch": {"loss": 2.0}, "trunk": {"loss": 3.0, "keep": 10} | trunk}
    return branched(planted(tmp_path, arms, seeds=1), "trunk", step=10)

  return make


def work(store):
  command = [sys.executable, "-m", "t5x_like.main", "study", "worker"]
  done = subprocess.run(
    [*command, f"--study_dir={store.root}"],
    env=os.environ | {"PYTHONPATH": str(ROOT)},
    capture_output=True,
    text=True,
    timeout=60,
  )
  return [" ".join(line.split()[:2]) for line in done.stdout.splitlines()]


def test_a_branch_waits_for_its_trunk_and_both_say_so(queue, capsys):
  store = queue()
  status = ["study", "status", f"--study_dir={store.root}"]
  assert main.main(status) == 0
  assert "waits for step 10 of trunk seed=0" in capsys.readouterr().out
  assert work(store) == ["start trunk", "done trunk", "start branch", "done branch"]
  short, _ = store.plan["cells"]
  assert store.result(short)["branch"] == short["branch"]
  first = (store.folder(short) / "metrics.jsonl").read_text().splitlines()[0]
  assert json.loads(first)["step"] == 11
  assert main.main(status) == 0
  assert " from step 10 of trunk seed=0" in capsys.readouterr().out
  states = store.states()
  # The trunk's million, and half of the branch's.
  assert measured.spent(store, states)["flops"] == 1.5e6
  named = {address: state.name for address, state in states.items()}
  assert branch_text.graph(store.plan["cells"], named).splitlines() == [
    "trunk seed=0, done: steps 1 to 20",
    "  `- branch seed=0, done: steps 11 to 20",
  ]


def test_a_branch_begins_while_its_trunk_still_runs(queue):
  store = queue()
  short, long = store.plan["cells"]
  assert branches.waits(store, short)
  kept = store.folder(long) / "checkpoints" / "10"
  kept.mkdir(parents=True)
  (kept / branches.COMPLETE).touch()
  claims.take(store.folder(long), now=time.time())
  assert not branches.waits(store, short)


def test_a_trunk_that_fails_ends_its_branches_until_both_are_tried_again(queue):
  store = queue(fail=True)
  assert work(store) == ["start trunk", "failed trunk", "failed branch"]
  short, long = store.plan["cells"]
  states = store.states()
  assert {state.name for state in states.values()} == {"failed"}
  assert states[short["address"]].reason == (
    f"its trunk {long['address']} failed before step 10: error: the arm cannot be built"
  )
  assert store.forgive() == 2
  (store.root / "configs" / "trunk.gin").write_text('{"loss": 3.0, "keep": 10}')
  assert work(store)[-1] == "done branch"


def test_a_trunk_that_diverged_before_is_the_branchs_outcome(queue):
  store = queue(stop=5)
  work(store)
  short, long = store.plan["cells"]
  found = store.result(short)
  assert (found["state"], found["value"]) == ("diverged", None)
  assert found["reason"].startswith(
    f"its trunk {long['address']} diverged before step 10"
  )
  spent = measured.spent(store, store.states())["flops"]
  assert spent == 1e6, "of the trunk alone"


def test_a_branch_planned_after_its_trunk_was_done_trains_from_its_first_step(queue):
  store = queue(keep=None)
  work(store)
  short, _ = store.plan["cells"]
  assert store.result(short)["state"] == "done"
  assert store.result(short)["branch"] is None
  first = (store.folder(short) / "metrics.jsonl").read_text().splitlines()[0]
  assert json.loads(first)["step"] == 1

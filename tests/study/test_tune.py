"""Searches inside an arm: what is tried, what is dropped, and that no arm is favoured."""

import dataclasses
import json
import math
import random
import re

import numpy as np
import pytest
from planted_study import completed, planted, searched
from test_running import kill_workers, launcher, values

from t5x_like import main
from t5x_like.statements import ConfigError
from t5x_like.study import cells, engines, index, ranges, searches, tune
from t5x_like.study.search_text import found
from t5x_like.study.store import Store
from t5x_like.study.study import Arm, Seeds, Study
from t5x_like.study.sweep import Grid
from t5x_like.study.tune import Halton, Halving, Optuna, Random, Trial, Tune

RATE = "schedules.Cosine.peak"
OF = {RATE: ("log", 1e-3, 1e-1)}
BASE = ("studies/tiny_ffn/base.gin",)


# What is tried


def test_a_range_is_covered_end_to_end():
  assert ranges.at(("log", 1e-4, 1e-2), 0.5) == 1e-3
  assert ranges.at(("uniform", 1.0, 3.0), 0.25) == 1.5
  shares = [0.0, 0.24, 0.26, 0.5, 0.99, 1.0]
  assert [ranges.at(("int", 3, 6), s) for s in shares] == [3, 3, 4, 5, 6, 6]
  assert [ranges.at(("choice", "a", "b"), s) for s in shares] == list("aaabbb")


@pytest.mark.parametrize(
  "how",
  [("log", 0, 1), ("log", 2, 1), ("int", 1.5, 3), ("normal", 0, 1), ("choice",), "log"],
)
def test_what_is_no_range_is_refused(how):
  with pytest.raises(ValueError, match=re.escape("must be ('log', low, high)")):
    Tune(of={"A": how})


def test_halton_fills_every_eighth_of_a_range_once():
  """A base-2 sequence has one of 2^k points in each of 2^k equal parts (Halton 1960)."""
  asked = Halton().ask({"x": ("uniform", 0.0, 8.0)}, (), 8, seed=3)
  assert sorted(int(setting["x"]) for setting in asked) == list(range(8))


@pytest.mark.parametrize("sampler", [Halton(rounds=2), Random(rounds=2)])
def test_a_later_round_goes_on_where_the_earlier_one_ended(sampler):
  of = {"x": ("uniform", 0.0, 1.0), "y": ("choice", 1, 2, 3)}
  whole = sampler.ask(of, (), 6, seed=0)
  ended = [Trial(n, 0, values, str(n), "done", 1.0) for n, values in enumerate(whole)]
  assert whole == sampler.ask(of, (), 2, seed=0) + sampler.ask(of, ended[:2], 4, seed=0)
  assert whole != sampler.ask(of, (), 6, seed=1)


def quadratic(setting: dict) -> float:
  return (math.log10(setting["rate"]) + 2.3) ** 2


def searched_by(how: Tune) -> searches.Search:
  """A search whose runs end at once."""
  outcome = lambda address: ("done", quadratic(json.loads(address)), [])
  return searches.search(how, how.of, json.dumps, outcome)


def test_optuna_is_asked_and_told_in_the_order_of_trials():
  optuna = pytest.importorskip("optuna")
  of = {"rate": ("log", 1e-5, 1.0)}
  how = Tune(of=of, trials=24, sampler=Optuna(rounds=24), seed=7)
  result = searched_by(how)
  assert result == searched_by(how)
  # The package itself, with a study that lives as long as the search.
  last = optuna.create_study()
  range_ = {"rate": optuna.distributions.FloatDistribution(1e-5, 1.0, log=True)}
  for trial in result.trials[:-1]:
    value = quadratic(trial.values)
    last.add_trial(
      optuna.trial.create_trial(params=trial.values, distributions=range_, value=value)
    )
  last.sampler = optuna.samplers.TPESampler(seed=7 + 23)
  assert last.ask(range_).params == result.trials[-1].values
  # Its startup of ten is random; what follows is nearer to the best rate, 10^-2.3.
  far = [abs(math.log10(t.values["rate"]) + 2.3) for t in result.trials]
  assert np.median(far[14:]) < 0.5 * np.median(far[:10])
  assert result.best.loss < 0.01


def test_optuna_learns_of_trials_that_diverged_or_were_dropped():
  pytest.importorskip("optuna")
  ended = [
    Trial(0, 0, {"rate": 0.1}, "0", "diverged"),
    Trial(1, 0, {"rate": 0.01}, "1", "pruned", None, ((5, 3.0),)),
    Trial(2, 0, {"rate": 0.001}, "2", "done", 2.0),
  ]
  of = {"rate": ("log", 1e-5, 1.0), "size": ("int", 1, 3), "act": ("choice", "a", "b")}
  more = {"size": 2, "act": "a"}
  ended = [dataclasses.replace(t, values=t.values | more) for t in ended]
  [asked] = Optuna().ask(of, ended, 1, seed=0)
  assert set(asked) == set(of)
  for how in (Optuna(sampler="Best"), Optuna(options={"brilliant": True})):
    with pytest.raises(ValueError, match="Optuna.sampler="):
      how.ask(of, (), 1, seed=0)


def test_the_next_round_waits_for_all_of_the_one_before():
  how = Tune(of={"rate": ("log", 1e-3, 1.0)}, trials=5, sampler=Halton(rounds=2))
  ended: dict[str, tuple] = {}
  search = searches.search(how, how.of, json.dumps, ended.get)
  assert [t.round for t in search.trials] == [0, 0, 0]
  assert (search.best, search.missing) == (None, "0 of 5 trials have ended")
  for trial in search.trials:
    ended[trial.address] = ("done", quadratic(trial.values), [])
  search = searches.search(how, how.of, json.dumps, ended.get)
  assert [t.round for t in search.trials] == [0, 0, 0, 1, 1] and search.best is None
  for trial in search.trials[3:]:
    ended[trial.address] = ("diverged", None, [])
  search = searches.search(how, how.of, json.dumps, ended.get)
  assert search.best.loss == min(quadratic(t.values) for t in search.trials[:3])


def test_a_search_that_only_diverges_finds_nothing():
  how = Tune(of=OF, trials=3)
  outcome = lambda address: ("diverged", None, [])
  search = searches.search(how, how.of, json.dumps, outcome)
  assert (search.best, search.missing) == (
    None,
    "none of its 3 trials ended with a loss",
  )


def test_the_end_of_what_was_tried_is_told():
  trials = [Trial(n, 0, {RATE: r}, "") for n, r in enumerate((1e-3, 1e-2, 1e-1))]
  assert [tune.edges(OF, trials, t) for t in trials] == [[RATE], [], [RATE]]
  assert tune.edges({RATE: ("choice", 1e-3, 1e-2, 1e-1)}, trials, trials[0]) == []


def test_looks_are_at_evaluations():
  assert Halving().looks(steps=1000, period=100) == (200, 500)
  assert Halving(at=(0.25,)).looks(steps=60, period=15) == (15,)
  for steps, period in ((100, 100), (100, 60)):
    with pytest.raises(ValueError, match="Evaluate more often"):
      Halving().looks(steps=steps, period=period)


@pytest.mark.parametrize(
  ("how", "rule"),
  [
    ({"trials": 3, "sampler": Halton(rounds=4)}, "a trial in each"),
    ({"trials": 8, "sampler": Halton(rounds=4), "halving": Halving()}, "keeps one of"),
  ],
)
def test_searches_that_cannot_be_run_are_refused(how, rule):
  with pytest.raises(ValueError, match=rule):
    Tune(of=OF, **how)
  for wrong in ({"at": (0.5, 0.25)}, {"at": (1.0,)}, {"factor": 1}):
    with pytest.raises(ValueError, match=r"Halving\."):
      Halving(**wrong)


# What a study makes of it


def study(**how) -> Study:
  arms = (Arm(name="a"), Arm(name="b", bindings=("Z_LOSS = 0.0",)))
  how = {"tune": Tune(of=OF, trials=4), "seeds": Seeds(values=(0, 1))} | how
  return Study(name="s", base=BASE, arms=how.pop("arms", arms), **how)


def ended(plan: cells.Expansion) -> dict[str, tuple]:
  """Results of all trials: the second of each arm is best."""
  return {
    cell.address: ("done", 3.0 - (cell.trial["number"] == 1), [])
    for cell in plan.trials
  }


def test_every_arm_is_tuned_at_every_point_before_its_seeds_are_planned():
  how = study(axes=(Grid(of={"BATCH_SIZE": [8, 16]}),))
  first = cells.expand(how, code="0")
  assert first.cells == () and len(first.trials) == 2 * 2 * 4
  assert {cell.seed for cell in first.trials} == {1000}
  assert [search["missing"] for search in first.searching] == [
    "0 of 4 trials have ended"
  ] * 4
  rates = {}
  for cell in first.trials:
    rates.setdefault((cell.arm, str(cell.point)), []).append(cell.trial["values"][RATE])
  assert len(set(map(tuple, rates.values()))) == 1  # all try the same rates

  second = cells.expand(how, code="0", outcome=ended(first).get)
  assert second.trials == first.trials and second.searching == ()
  assert len(second.cells) == 2 * 2 * 2
  best = rates["a", "{'BATCH_SIZE': 8}"][1]
  for cell in second.cells:
    assert cell.tuned["values"] == {RATE: best}
    assert f"schedules.Cosine:\n  peak = {best}\n" in second.texts[cell.config]
    assert cell.seed in (0, 1) and cell.trial is None


def test_an_arm_may_have_ranges_of_its_own():
  own = Arm(name="b", bindings=("Z_LOSS = 0.0",), tune={RATE: ("log", 1.0, 2.0)})
  found = cells.expand(study(arms=(Arm(name="a"), own)), code="0")
  rates = {c.arm: [] for c in found.trials}
  for cell in found.trials:
    rates[cell.arm].append(cell.trial["values"][RATE])
  assert max(rates["a"]) < 0.1 and min(rates["b"]) > 1.0
  assert len(rates["a"]) == len(rates["b"])


@pytest.mark.parametrize(
  ("how", "rule"),
  [
    ({"tune": Tune(of=OF, seed=1)}, "would count twice"),
    ({"tune": None, "arms": (Arm(name="a", tune=OF),)}, "needs Study.tune"),
    ({"axes": (Grid(of={RATE: [1e-3, 1e-2]}),)}, "both set"),
    ({"tune": Tune(of={"BATCH_SIZE": ("choice", 8, 16)})}, "who trains longest"),
    ({"tune": Tune(of=OF, halving=Halving())}, "Evaluate more often"),
  ],
)
def test_searches_that_would_not_be_fair_are_refused(how, rule):
  with pytest.raises((ValueError, ConfigError), match=rule):
    cells.expand(study(**how), code="0")


def test_a_batch_can_be_searched_at_equal_tokens():
  of = {"BATCH_SIZE": ("choice", 8, 16)}
  found = cells.expand(study(tune=Tune(of=of, trials=4), match="tokens"), code="0")
  assert {cell.tokens for cell in found.trials} == {15_360}
  assert {cell.steps for cell in found.trials} == {15, 30}


def test_study_run_goes_on_until_all_that_was_found_is_trained(tmp_path, monkeypatch):
  rounds = []

  def run(store: Store, arguments) -> int:
    rounds.append(len(store.queue))
    for number, cell in enumerate(store.queue):
      path = store.folder(cell) / "result.json"
      path.parent.mkdir(parents=True, exist_ok=True)
      names = ("address", "arm", "point", "seed", "steps", "params", "tokens", "flops")
      how = {"state": "done", "reason": "", "attempt": 1, "seconds": 1.0, "code": "0"}
      how |= {"value": 3.0 + number % 3 / 10, "curve": [[60, 3.0]], "final": {}}
      path.write_text(json.dumps(how | {name: cell[name] for name in names}))
    return 0

  monkeypatch.setattr(engines, "run", run)
  place = f"--study_dir={tmp_path / 'study'}"
  gin = "--gin_file=studies/tuned_optimizers/study.gin"
  command = ["study", "run", gin, place, "--gin.tune.Tune.sampler=@tune.Random()"]
  command.append("--gin.tune.Random.rounds=2")
  assert main.main([*command[:3], place, *command[4:]]) == 0
  assert rounds == [8, 16, 22]
  assert main.main(["study", "compare", place]) == 0
  assert main.main(["study", "report", place]) == 0
  text = (tmp_path / "study" / "report" / "report.md").read_text()
  assert "How the arms were tuned" in text and "figures/searches.png" in text


# What is dropped

# Losses at steps 5, 10 and 20. The best of `a` at the end is behind at the first look.
CURVES = {
  "a": [
    {5: 5.0, 10: 4.0, 20: 3.0},
    {5: 5.4, 10: 2.0, 20: 1.0},
    {5: 5.1, 10: 4.2, 20: 2.9},
    {5: 5.2, 10: 4.1, 20: 2.8},
    {5: 5.3, 10: 4.0, 20: 2.7},
  ],
  "b": [{5: 9.0 - n / 10, 10: 8.0 + n / 10, 20: 7.0} for n in range(4)],
}
DROPPED_AT = {"a": [None, 5, 10, 5, 5], "b": [5, 5, None, 10]}


def planned(root, losses=CURVES) -> Store:
  store = planted(root, {name: {"loss": 3.0} for name in losses}, seeds=1)
  return searched(store, losses, factor=2)


def test_halving_keeps_the_best_of_an_arm_and_never_looks_at_another(tmp_path):
  store = planned(tmp_path)
  assert launcher(store, 2).wait(timeout=60) == 0
  states = index.states(store)
  for cell in store.plan["trials"]:
    state, look = (
      states[cell["address"]],
      DROPPED_AT[cell["arm"]][cell["trial"]["number"]],
    )
    assert state.name == ("done" if look is None else "pruned"), cell["address"]
    curve = CURVES[cell["arm"]][cell["trial"]["number"]]
    last = look or 20
    assert state.result["curve"] == [[s, v] for s, v in curve.items() if s <= last]
    if look:
      assert state.result["pruned"]["tokens"] == 2000 * look / 20
      assert f"at step {look} is not among" in state.reason
  # 20 + 3 * 5 + 10 and 20 + 2 * 5 + 10 of 20 steps each
  spent = {search["arm"]: search["flops"] for search in found(store.plan, states)}
  assert spent == {"a": pytest.approx(1e6 * 45 / 20), "b": pytest.approx(1e6 * 40 / 20)}


def test_killed_workers_drop_the_same_trials(tmp_path):
  calm = planned(tmp_path / "calm")
  assert launcher(calm, 2).wait(timeout=60) == 0
  store = planned(tmp_path / "killed")
  process = launcher(store, 3)
  killed = kill_workers(process, random.Random(1), most=8, pause=0.3)
  assert process.wait(timeout=120) == 0
  assert killed >= 3
  assert values(store) == values(calm)
  assert sorted(completed(store)) == sorted(completed(calm))


def test_a_trial_that_diverged_is_last_and_one_that_failed_ends_its_round(tmp_path):
  losses = {"a": [{5: 5.0 + n, 10: 5.0, 20: 4.0} for n in range(4)]}
  store = planned(tmp_path / "diverged", losses)
  path = store.root / "configs" / "a-0.gin"
  path.write_text(json.dumps(json.loads(path.read_text()) | {"stop": 3}))
  assert launcher(store, 2).wait(timeout=60) == 0
  names = [index.states(store)[c["address"]].name for c in store.plan["trials"]]
  assert names == ["diverged", "done", "pruned", "pruned"]

  store = planned(tmp_path / "failed", losses)
  (store.root / "configs" / "a-0.gin").write_text('{"loss": 3.0, "fail": true}')
  assert launcher(store, 2).wait(timeout=60) == 0
  states = [index.states(store)[c["address"]] for c in store.plan["trials"]]
  assert {state.name for state in states} == {"failed"}
  assert states[3].reason == (
    "trial 0 of its round failed: error: the arm cannot be built"
  )
  (store.root / "configs" / "a-0.gin").write_text(
    json.dumps({"loss": 9.0, "losses": losses["a"][0]})
  )
  assert store.forgive() == 4
  assert launcher(store, 2).wait(timeout=60) == 0
  names = [index.states(store)[c["address"]].name for c in store.plan["trials"]]
  assert names == ["done", "pruned", "pruned", "pruned"]


def test_nothing_is_compared_before_all_arms_are_tuned(tmp_path, capsys):
  store = planned(tmp_path)
  waiting = [{"arm": "b", "point": {}, "missing": "1 of 4 trials have ended"}]
  waiting[0] |= {"runs": 3, "flops": 3e6}
  store.write_plan(store.plan | {"searching": waiting}, {})
  for verb in ("compare", "report"):
    assert main.main(["study", verb, f"--study_dir={tmp_path}"]) == 2
    assert "1 of 4 trials have ended" in capsys.readouterr().err
  assert main.main(["study", "status", f"--study_dir={tmp_path}"]) == 0
  told = capsys.readouterr().out
  assert "then 3 runs with what they find" in told

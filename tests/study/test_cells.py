"""Cells: what decides an address, what an arm is made to match, what is refused."""

import pytest

from t5x_like import config, identity
from t5x_like.statements import ConfigError
from t5x_like.study import cells
from t5x_like.study.study import Arm, Seeds, Study
from t5x_like.study.sweep import Grid, Isoflop, Ladder

BASE = ("studies/tiny_ffn/base.gin",)


def expand(*arms: Arm, code="0", bindings=(), **how):
  arms = arms or (Arm(name="base"),)
  how = {"seeds": Seeds(values=(0, 1))} | how
  study = Study(name="s", base=BASE, arms=arms, **how)
  return cells.expand(study, code=code, bindings=bindings)


def addresses(expansion) -> list[str]:
  return [cell.address for cell in expansion.cells]


def test_the_shipped_study_matches_parameters():
  study = cells.read(["studies/tiny_ffn/study.gin"])
  found = cells.expand(study, code="0").cells
  assert [(c.arm, c.seed) for c in found] == [
    ("plain", 0),
    ("gated", 0),
    ("plain", 1),
    ("gated", 1),
  ]
  # Three kernels of 88 are two of 132.
  assert found[0].solved == ["ffn.FFN.hidden = 132"]
  assert found[0].params == found[1].params


def test_an_address_is_of_the_run_and_not_of_its_names():
  assert addresses(expand(Arm(name="a"))) == addresses(expand(Arm(name="b")))
  for how in (
    {"bindings": ("run.Run.data_workers = 1",)},
    {"bindings": ("LOG_PERIOD = 5",)},
    {"bindings": ("EVAL_PERIOD = 15",)},
    {"seeds": Seeds(values=(0, 1, 2))},
  ):
    assert addresses(expand(**how))[:2] == addresses(expand()), how


@pytest.mark.parametrize(
  "how",
  [
    {"code": "1"},
    {"bindings": ("TRAIN_STEPS = 31",)},
    {"bindings": ("llama.llama.hidden = 89",)},
    {"bindings": ("EVAL_STEPS = 5",)},
    {"bindings": ("ACTIVATION_DTYPE = 'bfloat16'",)},
    {"seeds": Seeds(values=(2, 3))},
  ],
)
def test_an_address_changes_with_what_decides_a_result(how):
  assert not set(addresses(expand(**how))) & set(addresses(expand()))


def test_the_written_configuration_is_that_of_the_run(tmp_path):
  found = expand(
    Arm(name="a", swaps={"GatedFFN": "@ffn.FFN()"}, bindings=("ffn.FFN.hidden = 8",))
  )
  [text] = found.texts.values()
  (tmp_path / "run.gin").write_text(text)
  run = config.parse([str(tmp_path / "run.gin")], ["run.Run.seed = 1"]).build()
  assert "FFN(hidden=8" in repr(run.model)
  assert identity.identity(run)["seed"] == 1


def test_tokens_and_flops_are_matched_by_steps():
  long = Arm(name="long", bindings=("TASK_FEATURE_LENGTHS = {'targets': 128}",))
  for match in ("tokens", "flops"):
    found = expand(Arm(name="base"), long, match=match, tolerance=0.05).cells
    assert found[1].solved == [f"TRAIN_STEPS = {found[1].steps}"]
    assert found[1].steps < found[0].steps
    assert abs(found[1].differs[match]) < 0.05
  assert found[1].differs["tokens"] < 0  # longer rows cost more FLOPs a token


def test_a_schedule_that_does_not_follow_the_steps_is_refused():
  long = Arm(name="long", bindings=("TASK_FEATURE_LENGTHS = {'targets': 128}",))
  with pytest.raises(ValueError, match="schedules.Cosine.steps = %TRAIN_STEPS"):
    expand(
      Arm(name="base"), long, match="tokens", bindings=("schedules.Cosine.steps = 30",)
    )


def test_flops_are_matched_by_a_knob_at_equal_steps():
  arm = Arm(
    name="deep",
    bindings=("llama.llama.layers = 3",),
    knob="llama.llama.hidden",
    multiple=4,
  )
  base, deep = expand(Arm(name="base"), arm, match="flops", tolerance=0.05).cells[:2]
  assert deep.steps == base.steps
  assert abs(deep.differs["flops"]) < 0.05


def test_what_cannot_be_matched_is_refused():
  arm = Arm(name="wide", bindings=("llama.llama.dim = 64",))
  with pytest.raises(ValueError, match="'wide' has .* params of the baseline's"):
    expand(Arm(name="base"), arm, match="params")


def test_arms_that_are_the_same_run_are_refused():
  with pytest.raises(ConfigError, match="are the same run"):
    expand(Arm(name="a"), Arm(name="b", bindings=("LOG_PERIOD = 5",)))


def test_an_axis_may_not_undo_an_arm():
  axis = Grid(of={"BATCH_SIZE": [4, 8]})
  arm = Arm(name="a", bindings=("BATCH_SIZE = 2",))
  with pytest.raises(ConfigError, match="both bind BATCH_SIZE"):
    expand(arm, axes=(axis,))
  assert len(expand(axes=(axis,)).cells) == 4


def test_a_mistake_in_an_arm_names_the_arm():
  with pytest.raises(ConfigError, match="arm 'a': .*nothing reads BATCH_SIZ"):
    expand(Arm(name="a", bindings=("BATCH_SIZ = 4",)))


def test_held_out_sizes_run_last_and_sizes_have_seeds_of_their_own():
  axis = Ladder(
    of={
      "s": ["TRAIN_STEPS = 10"],
      "l": ["TRAIN_STEPS = 20"],
      "m": ["TRAIN_STEPS = 15"],
    },
    seeds={"s": (0, 1, 2), "l": (0,)},
    held_out=("l",),
  )
  found = [(c.point["size"], c.seed, c.held_out) for c in expand(axes=(axis,)).cells]
  assert found == [
    ("s", 0, False),
    ("m", 0, False),
    ("s", 1, False),
    ("m", 1, False),
    ("s", 2, False),
    ("l", 0, True),
  ]


SIZES = {"s": ["llama.llama.layers = 1"], "l": ["llama.llama.layers = 3"]}


def test_budgets_of_flops_decide_the_steps_of_each_size():
  found = expand(axes=(Isoflop(budgets=(3e9, 6e9), of=SIZES),)).cells[:4]
  for cell in found:
    assert cell.flops == pytest.approx(cell.point["budget"], rel=0.02)
    assert cell.solved == [f"TRAIN_STEPS = {cell.steps}"]
  assert found[0].steps > found[1].steps and found[2].steps > found[0].steps


def test_tokens_per_parameter_decide_the_steps_and_arms_follow():
  axis = Ladder(of=SIZES, tokens_per_param=0.5)
  plain = Arm(
    name="plain", swaps={"GatedFFN": "@ffn.FFN()"}, bindings=("ffn.FFN.hidden = 8",)
  )
  for how in ({}, {"match": "tokens"}, {"match": "flops", "tolerance": 0.05}):
    found = expand(Arm(name="base"), plain, axes=(axis,), **how).cells
    bases = [cell for cell in found if cell.arm == "base"]
    for cell in bases if how else found:
      assert cell.tokens == pytest.approx(0.5 * cell.params, rel=0.02)
  # A knob keeps the baseline's steps.
  wide = Arm(
    name="wide",
    swaps={"GatedFFN": "@ffn.FFN()"},
    bindings=("ffn.FFN.hidden = 8",),
    knob="ffn.FFN.hidden",
  )
  base, matched = expand(Arm(name="base"), wide, axes=(axis,), match="params").cells[:2]
  assert (matched.steps, matched.params) == (base.steps, base.params)


def test_a_length_of_less_than_a_few_steps_is_refused():
  with pytest.raises(ValueError, match="Take a smaller batch, or a larger budget"):
    expand(axes=(Isoflop(budgets=(1e7,), of=SIZES),))

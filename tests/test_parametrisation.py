"""Parametrisation: the tables of muP and CompleteP, and nothing at the base's size."""

import dataclasses
import math
import re
import shlex
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models import zoo
from models.components import balanced, param
from models.components.spec import Swap
from models.families import llama, mixtral, palm, t5
from t5x_like import config, optim, schedules
from t5x_like.flags import parse_arguments
from t5x_like.parametrisation import CompleteP, Factors, MuP, multiplied
from t5x_like.statements import ConfigError
from t5x_like.study import cells

FAST_COMPILE = {"xla_backend_optimization_level": 0}
BASE = llama.llama(dim=16, hidden=48, heads=2, layers=2, vocab=50)  # 8 features a head
WIDE = llama.llama(dim=64, hidden=192, heads=4, layers=2, vocab=50)  # m = 4; 16 a head
DEEP = llama.llama(dim=64, hidden=192, heads=4, layers=8, vocab=50)  # m_L = 4
ADAMW = optim.AdamW(learning_rate=0.01, beta2=0.95, epsilon=1e-3, weight_decay=0.1)
HIDDEN = (
  *(f"attention/{name}/kernel" for name in ("query", "key", "value", "out")),
  *(f"ffn/{name}/kernel" for name in ("gate", "up", "down")),
)
NORMS = ("attention_norm/scale", "ffn_norm/scale")


def in_blocks(*names: str) -> list[str]:
  return [f"decoder/blocks_0/{name}" for name in names]


def test_mup_has_the_factors_of_table_8():
  # Yang et al., table 8, Adam: input weights and vectors 1; output weights 1, with a
  # multiplier 1 / fan_in; hidden weights variance and rate 1 / fan_in. Here m = 4.
  found = MuP(base=BASE).factors(WIDE)
  hidden = dict.fromkeys(in_blocks(*HIDDEN), Factors(std=0.5, rate=0.25, decay=4.0))
  same = [*in_blocks(*NORMS), "decoder/final_norm/scale"]
  same += ["token_embedder/embedding", "head/kernel"]
  assert found == hidden | dict.fromkeys(same, Factors())
  assert MuP(base=BASE).rewrite(WIDE).head.scale == 0.25


def test_completep_has_the_factors_of_table_1():
  # Dey et al., table 1, m_N = 4, m_L = 4, alpha = 1: hidden rate 1 / m_N, decay m_N,
  # epsilon 1 / (m_N m_L) in residual blocks and 1 / m_N elsewhere.
  found = CompleteP(base=BASE).factors(DEEP)
  hidden = Factors(std=0.5, rate=0.25, decay=4.0, epsilon=1 / 16)
  expected = dict.fromkeys(in_blocks(*HIDDEN), hidden)
  expected |= dict.fromkeys(in_blocks(*NORMS), Factors(epsilon=1 / 16))
  rest = ["decoder/final_norm/scale", "token_embedder/embedding", "head/kernel"]
  assert found == expected | dict.fromkeys(rest, Factors(epsilon=1 / 4))
  blocks = CompleteP(base=BASE).rewrite(DEEP).decoder.blocks
  assert {block.branch for block in blocks} == {1 / 4}


def test_alpha_one_half_has_the_depth_rule_of_its_column():
  # m_L^(alpha - 1) = 1/2 on rates in blocks, m_L^-alpha = 1/2 on branches and epsilon.
  half = CompleteP(base=BASE, alpha=0.5)
  found = half.factors(DEEP)
  assert found[in_blocks(HIDDEN[0])[0]] == Factors(
    std=0.5, rate=1 / 8, decay=4.0, epsilon=1 / 8
  )
  assert found[in_blocks(NORMS[0])[0]] == Factors(rate=0.5, epsilon=1 / 8)
  assert half.rewrite(DEEP).decoder.blocks[0].branch == 0.5


TINY = [row for row in zoo.ZOO.values() if row.name.endswith("/tiny")]


@pytest.mark.parametrize("row", TINY, ids=lambda row: row.name)
def test_nothing_changes_at_the_size_of_the_base(row):
  model = row.spec()
  same = CompleteP(base=model)
  assert same.rewrite(model) == model
  assert same.optimizer(model, ADAMW) is ADAMW


def test_scores_are_divided_by_the_features_of_a_head_and_agree_at_the_base():
  # LLaMA: 8**-0.5 at 8 features, so 8**-0.5 * 8 / 16 at 16.
  scale = MuP(base=BASE).rewrite(WIDE).decoder.blocks[0].attention.scale
  assert scale == pytest.approx(8**-0.5 / 2)
  sizes = dict(hidden=32, heads=2, layers=1, vocab=50)
  base = t5.t5_1_1(dim=16, head_dim=8, **sizes)
  wide = MuP(base=base).rewrite(t5.t5_1_1(dim=32, head_dim=16, **sizes))
  [block] = wide.decoder.blocks
  assert (block.attention.scale, block.cross.scale) == (0.5, 0.5)
  # T5 has 1 / sqrt(dim * head_dim) of the base's 16 * 8; twice the inputs halve it.
  declared = param.declarations(wide)["decoder/blocks_0/attention/query/kernel"]
  drawn = declared.init(jax.random.key(0), (200, 16, 100), jnp.float32)
  now = math.sqrt(1 / 200) * declared.init.factor
  assert declared.init.factor == pytest.approx(
    math.sqrt(1 / (16 * 8) / 2) / math.sqrt(1 / 32)
  )
  # 320,000 draws: a standard error of 0.1 %.
  assert float(drawn.std()) == pytest.approx(now, rel=5e-3)


def test_scales_that_a_family_computes_from_its_width_are_those_of_the_base():
  sizes = dict(hidden=32, heads=2, layers=1, vocab=50, head_dim=8)
  base, wide = t5.t5(dim=16, **sizes), t5.t5(dim=64, **sizes)
  assert MuP(base=base).rewrite(wide).head.scale == pytest.approx(16**-0.5 / 4)


def test_a_router_takes_its_multiplier_into_itself():
  # Table 3: output weights have variance 1 / fan_in^2 and rate 1 / fan_in.
  sizes = dict(heads=2, layers=1, vocab=50)
  base = mixtral.mixtral(dim=16, hidden=32, **sizes)
  wide = mixtral.mixtral(dim=64, hidden=128, **sizes)
  path = "decoder/blocks_0/ffn/router/gate/kernel"
  assert MuP(base=base).factors(wide)[path] == Factors(std=0.25, rate=0.25, decay=4.0)
  other = Swap(old="TopK", new=balanced.Base())
  found = MuP(base=other(base)).factors(other(wide))
  path = "decoder/blocks_0/ffn/router/centroids"
  assert found[path] == Factors(std=0.25, rate=0.25, decay=4.0)


def test_an_update_of_each_group_is_adamw_with_the_tables_numbers():
  grouped = CompleteP(base=BASE).optimizer(DEEP, ADAMW)
  declared = param.declarations(DEEP)
  transform = grouped.build({path: d.axes for path, d in declared.items()})
  paths = in_blocks(HIDDEN[0], NORMS[0]) + ["token_embedder/embedding"]
  rng = np.random.default_rng(0)
  params = {path: rng.normal(size=3).astype(np.float32) for path in paths}
  grads = {path: 1e-3 * rng.normal(size=3).astype(np.float32) for path in paths}
  state = transform.init(param.nested(params))
  done, _ = jax.jit(transform.update, compiler_options=FAST_COMPILE)(
    param.nested(grads), state, param.nested(params)
  )
  # (rate, decay, epsilon): the first step of Adam divides g by |g| + epsilon.
  numbers = [(0.0025, 0.4, 1e-3 / 16), (0.01, 0.0, 1e-3 / 16), (0.01, 0.1, 1e-3 / 4)]
  for path, (rate, decay, epsilon) in zip(paths, numbers, strict=True):
    g, p = grads[path], params[path]
    expected = -rate * (g / (np.abs(g) + epsilon) + decay * p)
    # float32, and optax's bias correction.
    np.testing.assert_allclose(param.flatten(done)[path], expected, rtol=2e-5)


def test_lion_has_no_epsilon_to_scale():
  lion = optim.Lion(learning_rate=schedules.Constant(value=0.1), weight_decay=0.5)
  found = multiplied(lion, Factors(rate=0.5, decay=2.0, epsilon=0.25))
  assert float(found.learning_rate(0)) == pytest.approx(0.05)
  assert found.weight_decay == 1.0


DOC = (Path(__file__).resolve().parents[1] / "docs" / "mup.md").read_text()
SHOWN = re.findall(r"(?ms)^```\n(from __gin__.*?)^```$", DOC)
COMMANDS = re.findall(r"(?m)^    (t5x_like (?:.*\\\n)*.*)$", DOC)


@pytest.mark.parametrize(
  "gin, model, task, lengths",
  [
    (SHOWN[0], "llama/tiny", "python_docs_causal_lm", {"targets": 16}),
    (SHOWN[1], "t5_1_1/tiny", "python_docs", {"inputs": 16, "targets": 16}),
  ],
  ids=("llama", "t5"),
)
def test_two_lines_of_gin_turn_it_on(gin, model, task, lengths, tmp_path):
  file = tmp_path / "shown.gin"
  file.write_text(gin)
  given = [
    f"MIXTURE_OR_TASK_NAME = {task}",
    f"TASK_FEATURE_LENGTHS = {lengths}",
    "TRAIN_STEPS = 1",
    "MODEL_DIR = unused",
  ]
  files = [f"models/{model}.gin", "runs/pretrain.gin"]
  run = config.parse([*files, "optim/adamw.gin", str(file)], given).build()
  assert run.model.head.scale == 0.5
  assert run.optimizer.clip == 1.0
  assert dataclasses.replace(run, seed=1).model == run.model
  with pytest.raises(ConfigError, match="no rule for OPTIMIZER=Adafactor"):
    config.parse([*files, str(file)], given).build()


@pytest.mark.parametrize("command", COMMANDS)
def test_a_documented_command_has_these_flags(command):
  words = shlex.split(command.replace("\\\n", " "))[1:]
  assert parse_arguments(words).verb == " ".join(words[:2])


def test_a_base_of_other_parts_is_refused():
  other = dataclasses.replace(BASE, head=dataclasses.replace(BASE.head, tied=True))
  with pytest.raises(ValueError, match="base has no parameter head/kernel"):
    MuP(base=other).factors(WIDE)
  with pytest.raises(ValueError, match="base has Decoder where"):
    MuP(base=BASE).rewrite(t5.t5(dim=16, hidden=32, heads=2, layers=1))
  with pytest.raises(ValueError, match="is no model"):
    MuP(base=64)


def test_completep_refuses_a_block_that_its_table_does_not_have():
  sizes = dict(dim=16, heads=2, head_dim=8, vocab=50)
  shallow, deep = palm.palm(layers=2, **sizes), palm.palm(layers=4, **sizes)
  with pytest.raises(ValueError, match="no rule for ParallelBlock"):
    CompleteP(base=shallow).rewrite(deep)


def test_a_scaled_branch_is_one_whose_last_kernel_is_scaled():
  block = DEEP.decoder.blocks[0]
  shallow = dataclasses.replace(DEEP.decoder, blocks=2 * (block,))
  plain = dataclasses.replace(DEEP, decoder=shallow)
  blocks = CompleteP(base=BASE).rewrite(DEEP).decoder.blocks[:2]
  block = dataclasses.replace(blocks[0], attention=block.attention)
  scaled = dataclasses.replace(
    DEEP, decoder=dataclasses.replace(shallow, blocks=2 * (block,))
  )
  params = param.flatten(param.draw(param.declarations(plain), seed=0))
  smaller = {
    path: value / 4 if path.endswith(("out/kernel", "down/kernel")) else value
    for path, value in params.items()
  }
  batch = {"decoder_input_tokens": jnp.arange(8)[None]}

  def hidden(model, flat):
    run = jax.jit(
      lambda p: param.bind(model.build(), p)(batch)[0], compiler_options=FAST_COMPILE
    )
    return run(param.nested(flat))

  # float32; a factor of 1/4 itself rounds nothing.
  np.testing.assert_allclose(hidden(scaled, params), hidden(plain, smaller), atol=1e-5)


def test_the_shipped_study_has_both_arms_at_every_width_and_rate():
  study = cells.read(["studies/lr_transfer/study.gin"])
  found = cells.expand(study, code="0").cells
  assert len(found) == 2 * 3 * 5
  assert len({cell.address for cell in found}) == len(found)
  # The same model and data in both arms: muP changes no shape.
  for standard, mup in zip(found[::2], found[1::2], strict=True):
    assert (standard.arm, mup.arm) == ("standard", "mup")
    assert (standard.point, standard.params) == (mup.point, mup.params)

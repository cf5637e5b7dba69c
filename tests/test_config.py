"""t5x_like/config.py and the modules behind it: what gin files mean, and every mistake."""

import dataclasses
import random
import re
import subprocess
import sys
from pathlib import Path

import gin
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.components.norm import LayerNorm, RMSNorm
from models.families import t5
from t5x_like import config, optim, schedules
from t5x_like.config import ConfigError
from t5x_like.freeze import Freeze
from t5x_like.identity import identity
from t5x_like.run import Run

MODEL = "models/t5_1_1/tiny.gin"
ROOT = Path(__file__).resolve().parent
DATA = str(ROOT / "configs/data/text.gin")
FILES = [MODEL, "runs/pretrain.gin", DATA]
GIVEN = [
  "TASK_FEATURE_LENGTHS = {'inputs': 64, 'targets': 16}",
  "TRAIN_STEPS = 10",
  "MODEL_DIR = /tmp/run",
]
HEADER = "from __gin__ import dynamic_registration\nfrom t5x_like import run\n"


def build(*bindings: str, files=FILES, paths=()) -> Run:
  return config.parse(files, [*GIVEN, *bindings], paths).build()


def error(*bindings: str, files=FILES, given=GIVEN, paths=()) -> str:
  with pytest.raises(ConfigError) as caught:
    config.parse(files, [*given, *bindings], paths).build()
  message = str(caught.value)
  assert "\n" not in message
  return message


def gin_file(tmp_path, text: str, name: str = "mine.gin") -> str:
  (tmp_path / name).write_text(text)
  return str(tmp_path / name)


# What a configuration means


def test_a_model_and_a_run_file_build_the_run_they_describe():
  run = build()
  assert run.model == t5.t5_1_1(
    dim=32, hidden=64, heads=2, head_dim=16, layers=2, vocab=2048
  )
  assert (run.steps, run.batch, run.seed, run.model_dir) == (10, 128, 0, "/tmp/run")
  # T5X configs/runs/pretrain.gin: constant * rsqrt_decay from 1.0, 10000 steps.
  assert run.optimizer == optim.Adafactor(
    learning_rate=schedules.T5X(
      factors="constant * rsqrt_decay", base_learning_rate=1.0, warmup_steps=10_000
    )
  )


def test_model_and_run_files_may_come_in_either_order():
  assert build(files=FILES[::-1]) == build()


def test_the_command_line_wins_over_files_and_the_last_flag_over_earlier_ones():
  assert build("BATCH_SIZE = 8", "BATCH_SIZE = 16").batch == 16


def test_files_are_found_from_any_working_directory(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  for model in (MODEL, f"gin_configs/{MODEL}"):
    assert build(files=[model, *FILES[1:]]) == build()


def test_a_users_search_path_comes_before_the_shipped_files(tmp_path):
  (tmp_path / "runs").mkdir()
  (tmp_path / "runs" / "pretrain.gin").write_text(
    "include 'gin_configs/runs/pretrain.gin'\nBATCH_SIZE = 4\n"
  )
  assert build(paths=[str(tmp_path)]).batch == 4


def test_an_include_is_found_beside_the_file_that_includes_it(tmp_path):
  gin_file(tmp_path, "BATCH_SIZE = 4\n", "small.gin")
  outer = gin_file(tmp_path, "include 'small.gin'\n")
  assert build(files=[*FILES, outer]).batch == 4


def test_a_task_name_reads_its_data_file_before_all_others(tmp_path):
  (tmp_path / "data").mkdir()
  text = Path(DATA).read_text() + "BATCH_SIZE = 4\n"
  (tmp_path / "data" / "mine.gin").write_text(text)
  given = ["MIXTURE_OR_TASK_NAME = mine", *GIVEN]
  run = config.parse(FILES[:2], given, [str(tmp_path)]).build()
  assert run.task.name == "text"
  assert run.batch == 128, "pretrain.gin is read after the data file"


@pytest.mark.parametrize(
  "text",
  [
    "/tmp/x",
    "runs/2024",
    "2024/run",
    "my run",
    "a-b.c",
    "x{y}",
    "/tmp/x#1",
    "a=b",
    "~",
  ],
)
def test_a_string_needs_no_quotes_where_it_can_be_nothing_else(text):
  found = config.parse([], [f"NAME = {text}"]).macro("NAME")
  assert found == text


@pytest.mark.parametrize(
  "text, value",
  [("3", 3), ("'x'", "x"), ("None", None), ("[1, 2]", [1, 2]), ("-1e-3", -1e-3)],
)
def test_a_value_that_gin_can_read_stays_what_gin_says(text, value):
  assert config.parse([], [f"NAME = {text}"]).macro("NAME") == value


def test_a_part_is_swapped_wherever_it_occurs():
  run = build(
    "run.Run.swaps = [@spec.Swap()]",
    "spec.Swap.old = RMSNorm",
    "spec.Swap.new = @norm.LayerNorm()",
  )
  assert run.model.encoder.final_norm == LayerNorm()
  assert RMSNorm.__name__ not in str(run.model)


def test_an_optimizer_is_replaced_from_the_command_line():
  run = build("OPTIMIZER = @optim.AdamW()", "optim.AdamW.learning_rate = 3e-4")
  assert run.optimizer == optim.AdamW(learning_rate=3e-4)


def test_required_never_replaces_a_value_so_the_order_of_files_is_free(tmp_path):
  first = gin_file(tmp_path, "TRAIN_STEPS = 7\n")
  given = [g for g in GIVEN if "TRAIN_STEPS" not in g]
  assert config.parse([first, *FILES], given).build().steps == 7


# gin itself agrees


def by_gin(files, bindings) -> Run:
  gin.clear_config()
  files = [str(config.SHIPPED / file) for file in files]
  # gin wants every required macro set, this one too, which means nothing to it.
  bindings = [*bindings, "MIXTURE_OR_TASK_NAME = 'none'"]
  gin.parse_config_files_and_bindings(files, bindings)
  return gin.get_configurable(Run)()


def test_gin_itself_builds_the_same_run_from_the_same_files():
  quoted = [g.replace("/tmp/run", "'/tmp/run'") for g in GIVEN]
  assert by_gin(FILES, quoted) == build()


def test_scopes_mean_what_they_mean_to_gin(tmp_path):
  text = HEADER + (
    "from models.components import spec\n"
    "from models.components import norm\n"
    "from t5x_like.data import task\n"
    "task.Task.vocabulary = [@one/spec.Swap(), @two/spec.Swap(), @two/three/spec.Swap()]\n"
    "spec.Swap.old = 'a'\n"
    "two/spec.Swap.old = 'b'\n"
    "two/three/spec.Swap.old = 'c'\n"
    "spec.Swap.new = %NEW\n"
    "two/spec.Swap.new = @norm.RMSNorm()\n"
    "NEW = @norm.RMSNorm()\n"
    "norm.RMSNorm.eps = 0.1\n"
    "two/norm.RMSNorm.eps = 0.2\n"
    "NEW/norm.RMSNorm.eps = 0.3\n"
  )
  file = gin_file(tmp_path, text)
  ours = config.parse([*FILES, file], GIVEN).build()
  quoted = [g.replace("/tmp/run", "'/tmp/run'") for g in GIVEN]
  assert ours == by_gin([*FILES, file], quoted)
  assert [swap.new.eps for swap in ours.task.vocabulary] == [0.3, 0.2, 0.2]


def test_the_written_configuration_builds_the_same_run_here_and_by_gin(tmp_path):
  parsed = config.parse(FILES, [*GIVEN, "BATCH_SIZE = 24", "Z_LOSS = 1e-3"])
  run = parsed.build()
  written = gin_file(tmp_path, parsed.text())
  again = config.parse([written])
  assert again.build() == run
  assert again.text() == parsed.text()
  assert by_gin([written], []) == run


def test_the_written_configuration_holds_defaults_that_nobody_set():
  parsed = config.parse(FILES, GIVEN)
  parsed.build()
  assert "microbatches = 1" in parsed.text()
  assert "epsilon1 = 1e-30" in parsed.text()


LITERALS = st.recursive(
  st.none()
  | st.booleans()
  | st.integers()
  | st.floats(allow_nan=False, allow_infinity=False)
  | st.text(st.characters(codec="utf-8", exclude_characters="\r"), max_size=120),
  lambda inner: (
    st.lists(inner, max_size=4)
    | st.tuples(inner, inner)
    | st.dictionaries(st.text("abc", max_size=3), inner, max_size=3)
  ),
  max_leaves=12,
)


@settings(max_examples=60, deadline=None)
@given(value=LITERALS)
def test_any_literal_survives_being_written(tmp_path_factory, value):
  parsed = config.parse(FILES, [f"task.Task.vocabulary = ({value!r})", *GIVEN])
  assert parsed.build().task.vocabulary == value
  file = tmp_path_factory.getbasetemp() / "literal.gin"
  file.write_text(parsed.text(), encoding="utf-8")
  assert config.parse([str(file)]).build().task.vocabulary == value


# Mistakes: one readable line each


def test_missing_required_values_are_all_named_at_once():
  message = error(given=[])
  for name in ("MODEL_DIR", "TASK_FEATURE_LENGTHS", "TRAIN_STEPS"):
    assert name in message


def test_a_missing_task_is_asked_for_by_the_macro_that_names_it():
  assert "--gin.MIXTURE_OR_TASK_NAME=" in error(files=FILES[:2])


def test_a_missing_model_says_how_to_give_one():
  assert "--gin_file=models/" in error(files=FILES[1:])


def test_no_file_that_describes_a_run_says_which_to_give():
  assert "runs/pretrain.gin" in error(files=[MODEL], given=[])


@pytest.mark.parametrize(
  "binding, hint",
  [
    ("TRAIN_STEP = 5", "'TRAIN_STEPS'"),
    ("train_steps = 5", "'TRAIN_STEPS'"),
    ("BATCHSIZE = 5", "'BATCH_SIZE'"),
    ("run.Run.stepz = 5", "'steps'"),
    ("t5.t5_1_1.layrs = 5", "'layers'"),
    ("t5.t5_1_2.layers = 5", "'t5_1_1'"),
    ("optin.AdamW.clip = 5", "'optim'"),
    ("OPTIMIZER = @optim.AdmaW()", "'AdamW'"),
    ("run.Evaluation.perod = 5", "'period'"),
  ],
)
def test_a_misspelt_name_gets_the_nearest_valid_one(binding, hint):
  assert f"did you mean {hint}?" in error(binding)


def test_a_misspelt_macro_is_named_even_when_its_value_is_missing():
  given = [g for g in GIVEN if "TRAIN_STEPS" not in g]
  assert "did you mean 'TRAIN_STEPS'?" in error("TRAIN_STEP = 5", given=given)


def test_a_binding_that_nothing_reads_is_an_error():
  message = error("ffn.GatedFFN.act = relu")
  assert "nothing uses ffn.GatedFFN.act" in message


def test_a_binding_in_a_scope_that_nothing_enters_is_an_error():
  assert "nothing uses other/t5.t5_1_1.layers" in error("other/t5.t5_1_1.layers = 3")


def test_bindings_of_a_part_that_a_later_file_replaced_are_no_error(tmp_path):
  base = gin_file(
    tmp_path,
    HEADER + "from t5x_like import optim\n"
    "OPTIMIZER = @optim.Lion()\noptim.Lion.learning_rate = 1e-4\n",
    "base.gin",
  )
  variant = gin_file(
    tmp_path,
    HEADER + "from t5x_like import optim\ninclude 'base.gin'\n"
    "OPTIMIZER = @optim.SGD()\noptim.SGD.learning_rate = 0.1\n",
  )
  assert build(files=[*FILES, variant]).optimizer == optim.SGD(learning_rate=0.1)
  assert build(files=[*FILES, base]).optimizer == optim.Lion(learning_rate=1e-4)


def test_bindings_of_a_part_replaced_in_the_same_breath_are_an_error():
  message = error(
    "OPTIMIZER = @optim.SGD()",
    "optim.SGD.learning_rate = 0.1",
    "optim.Adafactor.clip = 1.0",
  )
  assert "nothing uses optim.Adafactor.clip" in message


def test_an_unread_macro_in_a_users_file_is_an_error(tmp_path):
  message = error(files=[*FILES, gin_file(tmp_path, "\nBATCH_SIZ = 4\n")])
  assert "mine.gin:2: nothing reads BATCH_SIZ; did you mean 'BATCH_SIZE'?" in message


def test_a_macro_of_t5x_without_meaning_here_says_why():
  assert "always cached" in error("USE_CACHED_TASKS = False")


@pytest.mark.parametrize(
  "binding, wanted, got",
  [
    ("BATCH_SIZE = '8'", "int", "str '8'"),
    ("BATCH_SIZE = 12O", "int", "str '12O'"),
    ("BATCH_SIZE = 1e2", "int", "float 100.0; write 100"),
    ("BATCH_SIZE = True", "int", "bool True"),
    ("Z_LOSS = 'a'", "float", "str 'a'"),
    ("MODEL_DIR = 3", "str", "int 3"),
    ("run.Run.compilation_cache = true", "bool", "str 'true'; write True"),
    ("run.Run.ema = 'x'", "float or None", "str 'x'"),
    ("TASK_FEATURE_LENGTHS = {'inputs': 'a'}", "dict", "dict"),
    ("t5.t5_1_1.layers = 2.5", "int", "float 2.5"),
    ("run.Run.execution = @optim.SGD()", "Execution", "SGD"),
  ],
)
def test_a_value_of_the_wrong_type_is_an_error(binding, wanted, got):
  extra = ["optim.SGD.learning_rate = 0.1"] if "SGD" in binding else []
  message = error(binding, *extra)
  assert f"must be {wanted}" in message
  assert f"not {got}" in message


@pytest.mark.parametrize("binding", ["Z_LOSS = 0", "run.Run.ema = None"])
def test_an_int_for_a_float_and_none_for_an_option_are_no_errors(binding):
  build(binding)


def test_a_wrong_value_is_reported_where_it_was_written(tmp_path):
  file = gin_file(tmp_path, "\n\nBATCH_SIZE = 'many'\n")
  assert f"{file}:3: BATCH_SIZE (for run.Run.batch)" in error(files=[*FILES, file])


@pytest.mark.parametrize(
  "binding, words",
  [
    ("BATCH_SIZE = 0", "Run.batch=0 must be positive"),
    ("TRAIN_STEPS = -5", "Run.steps=-5 must be zero or more"),
    ("EVAL_PERIOD = 0", "Evaluation.period=0 must be positive"),
    ("run.Run.microbatches = 3", "BATCH_SIZE=128 does not divide over 3 microbatches"),
    ("mesh.Mesh.data = 3", "BATCH_SIZE=128 does not divide"),
    ("PARTITIONING_RULES = sideways", "use one of replicated"),
    ("TASK_FEATURE_LENGTHS = {'inputs': 0}", "positive length"),
    ("run.Run.ema = 1.5", "must lie between 0 and 1"),
    ("LABEL_SMOOTHING = 1.0", "must lie in [0, 1)"),
    ("t5.t5_1_1.heads = 'x'", "must be int"),
    ("MODEL_DIR = ''", "MODEL_DIR is empty"),
    ("TASK = python_docs", "set MIXTURE_OR_TASK_NAME"),
    ("MODEL = small", "give a file of gin_configs/models/"),
    ("OPTIMIZER = adam", "set OPTIMIZER"),
    ("ACTIVATION_DTYPE = float8", "use one of float32, bfloat16, float16"),
  ],
)
def test_a_value_out_of_range_says_the_rule(binding, words):
  assert words in error(binding)


def test_a_value_out_of_range_is_reported_where_it_was_written():
  assert error("BATCH_SIZE = 15", "mesh.Mesh.data = 2").startswith("command line: ")


def test_a_missing_file_lists_the_places_searched(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  message = error(files=["models/t5_1_1/smal.gin"], paths=["/nowhere"])
  assert "did you mean 'models/t5_1_1/small.gin'?" in message
  for place in (str(tmp_path), "/nowhere", str(config.SHIPPED)):
    assert place in message


def test_a_missing_include_names_the_line_that_wants_it(tmp_path):
  message = error(files=[gin_file(tmp_path, "\ninclude 'no.gin'\n")])
  assert "mine.gin:2: no file no.gin" in message


def test_an_unknown_task_lists_the_places_searched():
  given = ["MIXTURE_OR_TASK_NAME = nowhere_to_be_found", *GIVEN]
  message = error(given=given)
  assert "no task or mixture 'nowhere_to_be_found'" in message
  assert str(config.SHIPPED) in message


def test_a_file_that_includes_itself_is_an_error(tmp_path):
  file = gin_file(tmp_path, "include 'mine.gin'\n")
  assert "includes itself" in error(files=[file])


def test_a_macro_that_means_itself_is_an_error():
  assert "refers to itself" in error("BATCH_SIZE = %A", "A = %B", "B = %A")


@pytest.mark.parametrize(
  "text, words",
  [
    ("X = [1, 2\n", "not closed"),
    ("X = " + "[" * 3000 + "\n", "nest"),
    ("X = " + "[" * 3000 + "]" * 3000, "nest"),
    ("X = 'abc\n", "mine.gin:1"),
    ("\nX = abc\n", "mine.gin:2: 'abc' is no value"),
    ("X = \n", "mine.gin:1"),
    ("X 3\n", "mine.gin:1"),
    ("run.Run:\nsteps = 3\n", "mine.gin"),
    ("X = 1e999\n", "too large"),
    ("X = %\n", "mine.gin:1"),
    ("a.b = 3\n", "'a' is not imported"),
    ("X = @t5()\n", "'t5' is not imported"),
  ],
)
def test_text_that_is_no_gin_is_an_error(tmp_path, text, words):
  assert words in error(files=[*FILES, gin_file(tmp_path, text)])


def test_a_file_that_is_no_text_is_an_error(tmp_path):
  (tmp_path / "mine.gin").write_bytes(b"\xff\xfe\x00")
  assert "cannot read" in error(files=[str(tmp_path / "mine.gin")])


def test_a_function_without_parentheses_is_an_error():
  assert "write @t5.t5_1_1()" in error("MODEL = @t5.t5_1_1")


def test_an_argument_that_has_no_default_is_asked_for():
  assert "needs a value for learning_rate" in error("OPTIMIZER = @optim.SGD()")


# A configuration must not run whatever is installed


@pytest.mark.parametrize(
  "text",
  [
    "import os\nTASK = @os.getcwd()\n",
    "from os import path\nTASK = @path.abspath()\n",
    "import subprocess\n",
    "from t5x_like import host\nTASK = @host.os.getcwd()\n",
    "from t5x_like import host\nTASK = @host.prepare()\n",
    "from t5x_like import main\nTASK = @main.main()\n",
    "from t5x_like import config\nTASK = @config.parse()\n",
    "from models.families import t5\nTASK = @t5.replace()\n",
    "import this\n",
  ],
)
def test_only_specs_and_models_can_be_named(tmp_path, text, capsys):
  header = "from __gin__ import dynamic_registration\n"
  file = gin_file(tmp_path, header + text)
  error(files=[*FILES, file])
  assert capsys.readouterr().out == ""


# Every mistake is caught: mutated files


def mutations(text: str, count: int, seed: int):
  rng = random.Random(seed)
  letters = "aZ_09 .,:'\"[](){}@%=/\\#\n\t-+\x00é\U0001f600"
  for _ in range(count):
    mutated = text
    for _ in range(rng.choice((1, 1, 2, 5))):
      at = rng.randrange(len(mutated))
      keep = rng.choice((0, 1))
      mutated = mutated[:at] + rng.choice(letters) + mutated[at + 1 - keep :]
    yield mutated


def test_a_mutated_file_builds_or_fails_in_one_line(tmp_path, root):
  text = (root / "gin_configs/runs/pretrain.gin").read_text()
  text = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
  failed = 0
  for mutated in mutations(text, 250, seed=0):
    (tmp_path / "mine.gin").write_text(mutated)
    try:
      config.parse([MODEL, str(tmp_path / "mine.gin"), DATA], GIVEN).build()
    except ConfigError as mistake:
      failed += 1
      assert "\n" not in str(mistake)
      assert len(str(mistake)) < 400
  assert failed > 125


def typos(name: str, rng: random.Random) -> str:
  """One edit: a letter dropped, doubled, replaced, or two exchanged."""
  at = rng.randrange(1, len(name) - 1)
  kind = rng.randrange(4)
  if kind == 0:
    return name[:at] + name[at + 1 :]
  if kind == 1:
    return name[:at] + name[at] + name[at:]
  if kind == 2:
    return name[:at] + "x" + name[at + 1 :]
  return name[:at] + name[at + 1] + name[at] + name[at + 2 :]


def test_of_typos_at_least_19_in_20_get_the_right_suggestion():
  # The figure is the one this project has set itself; the names are those people type.
  rng = random.Random(0)
  names = "TRAIN_STEPS BATCH_SIZE MODEL_DIR EVAL_PERIOD EVAL_STEPS RANDOM_SEED Z_LOSS"
  names = names.split() + [f"run.Run.{n}" for n in ("steps", "batch", "microbatches")]
  names += ["optim.Adafactor.decay_rate", "t5.t5_1_1.layers", "schedules.T5X.factors"]
  right = tried = 0
  for name in names:
    prefix, dot, last = name.rpartition(".")
    for _ in range(8):
      typo = typos(last, rng)
      if typo == last:
        continue
      tried += 1
      right += f"did you mean {last!r}?" in error(f"{prefix}{dot}{typo} = 1")
  assert right >= 0.95 * tried, (right, tried)


# Speed, and what is imported when


def test_a_mistake_is_found_before_jax_is_imported():
  code = (
    "import sys\n"
    "from t5x_like import config\n"
    "try: config.parse(['models/t5_1_1/tiny.gin', 'runs/pretrain.gin']).check()\n"
    "except config.ConfigError: pass\n"
    "print('jax' in sys.modules)"
  )
  command = [sys.executable, "-c", code]
  done = subprocess.run(command, capture_output=True, text=True, check=True)
  # It takes 0.2 s without JAX, and seconds with it.
  assert done.stdout.strip() == "False"


# Identity


def test_runs_that_differ_in_bookkeeping_are_the_same_run():
  other = build(
    "TRAIN_STEPS = 99", "MODEL_DIR = /elsewhere", "EVAL_PERIOD = 7", "LOG_PERIOD = 7",
    "run.Run.data_workers = 3", "ACTIVATION_DTYPE = bfloat16",
  )  # fmt: skip
  assert identity(other) == identity(build())


@pytest.mark.parametrize(
  "binding",
  ["BATCH_SIZE = 64", "RANDOM_SEED = 1", "t5.t5_1_1.layers = 3", "Z_LOSS = 0.0",
   "optim.Adafactor.decay_rate = 0.9", "run.Run.ema = 0.99", "task.Task.name = other",
   "DROPOUT_RATE = 0.1", "TASK_FEATURE_LENGTHS = {'inputs': 32, 'targets': 16}"],
)  # fmt: skip
def test_runs_that_differ_in_what_is_computed_are_not(binding):
  assert identity(build(binding)) != identity(build())


def test_moving_a_file_keeps_the_identity_and_taking_another_does_not():
  names = ("/a/one", "/b/one/", "/a/two")
  here, moved, other = (
    identity(build(f"run.Run.restore_from = {name}")) for name in names
  )
  assert here == moved != other


def test_patterns_of_parameters_are_no_places():
  """Freeze keeps other parameters: that is another run."""
  plain = build()
  still = lambda path: (Freeze(pattern=path),)
  one, other = (
    identity(dataclasses.replace(plain, frozen=still(path)))
    for path in ("encoder/.*", "decoder/.*")
  )
  assert one != other


def test_error_messages_are_short():
  messages = [error("BATCH_SIZE = 'x'"), error("FOO = 1"), error("TRAIN_STEP = 1")]
  assert all(len(re.sub(r"; known: .*", "", message)) <= 200 for message in messages)

"""t5x_like/main.py and flags.py: verbs, flags, exit statuses."""

import dataclasses
import json
import shlex
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest

import t5x_like
from t5x_like import flags, main
from t5x_like.run import Run
from t5x_like.statements import ConfigError

CONFIGS = str(Path(__file__).resolve().parent / "configs")
WHOLE = [
  "--gin_file=models/t5_1_1/tiny.gin",
  "--gin_file=runs/pretrain.gin",
  f"--gin_search_paths={CONFIGS}",
  "--gin.MIXTURE_OR_TASK_NAME=text",
  "--gin.TASK_FEATURE_LENGTHS={'inputs': 64, 'targets': 16}",
  "--gin.TRAIN_STEPS=10",
]


@pytest.fixture
def whole(tmp_path) -> list[str]:
  return [*WHOLE, f"--gin.MODEL_DIR={tmp_path}"]


@pytest.fixture
def module(monkeypatch):
  """Puts a stand-in for a module of t5x_like in its place, and records its calls."""

  def replace(name: str, **functions) -> list:
    calls = []

    def recording(function):
      def call(*positional, **named):
        calls.append((positional, named))
        return function(*positional, **named)

      return call

    stand_in = types.ModuleType(f"t5x_like.{name}")
    for function, action in functions.items():
      setattr(stand_in, function, recording(action))
    monkeypatch.setitem(sys.modules, f"t5x_like.{name}", stand_in)
    monkeypatch.setattr(t5x_like, name, stand_in, raising=False)
    return calls

  return replace


def finished_run(folder, *more: str) -> str:
  """A folder with the config.gin of a run, as training writes it."""
  from t5x_like import config

  bindings = [
    "MIXTURE_OR_TASK_NAME = text",
    "TASK_FEATURE_LENGTHS = {'inputs': 64, 'targets': 16}",
    "TRAIN_STEPS = 10",
    "MODEL_DIR = /somewhere/else",
    *more,
  ]
  parsed = config.parse(
    ["models/t5_1_1/tiny.gin", "runs/pretrain.gin"], bindings, [CONFIGS]
  )
  parsed.build()
  (folder / "config.gin").write_text(parsed.text())
  return f"--model_dir={folder}"


# Verbs


def test_train_gets_the_run_its_text_and_its_identity(module, whole, tmp_path):
  calls = module("train", train=lambda run, **_: 0)
  assert main.main(["train", *whole]) == 0
  ((run,), named) = calls[0]
  assert isinstance(run, Run)
  assert (run.steps, run.model_dir) == (10, str(tmp_path))
  assert "TRAIN_STEPS = 10" in named["config_text"]
  assert named["identity"]["batch"] == 128


def test_the_status_of_a_stopped_run_is_passed_on(module, whole):
  module("train", train=lambda run, **_: 143)
  assert main.main(["train", *whole]) == 143


def test_dry_run_trains_nothing(module, whole):
  trained = module("train", train=lambda run, **_: 0)
  shown = module("inspect", show_run=lambda run, **_: None)
  assert main.main(["train", *whole, "--dry_run"]) == 0
  assert len(shown) == 1 and not trained


def test_eval_needs_nothing_but_the_run_directory(module, tmp_path, capsys):
  calls = module("evaluate", evaluate=lambda run, **_: {"step": 10, "loss": 2.5})
  flag = finished_run(tmp_path)
  assert main.main(["eval", flag, "--step=5", "--json"]) == 0
  ((run,), named) = calls[0]
  assert run.model_dir == str(tmp_path), "the folder may have been moved"
  assert named == {"checkpoint": str(tmp_path), "step": 5}
  assert json.loads(capsys.readouterr().out) == {"step": 10, "loss": 2.5}


def test_eval_takes_the_devices_that_are_here(module, tmp_path, capsys):
  """A run of eight devices in stages, on one; not where flags say what is wanted."""
  calls = module("evaluate", evaluate=lambda run, **_: {"loss": 2.5})
  flag = finished_run(
    tmp_path,
    "mesh.Mesh.pipeline = 4",
    "mesh.Mesh.data = 2",
    "PARTITIONING_RULES = 'pipeline'",
    "execution.Execution.pipeline_schedule = '1f1b'",
  )
  assert main.main(["eval", flag]) == 0
  run = calls[0][0][0]
  assert run.mesh.build().size == 1 and run.rules == "data"
  assert run.execution.pipeline_schedule == "gpipe"
  told = capsys.readouterr().err
  assert told == "devices: 1 here, not those that the run was trained on\n"
  assert main.main(["eval", flag, "--gin.mesh.Mesh.pipeline=2"]) == 0
  run = calls[1][0][0]
  assert (run.mesh.pipeline, run.rules) == (2, "pipeline")


def test_eval_takes_overrides_of_the_runs_configuration(module, tmp_path):
  calls = module("evaluate", evaluate=lambda run, **_: {"loss": 2.5})
  flag = finished_run(tmp_path)
  assert main.main(["eval", flag, "--gin.EVAL_STEPS=3", "--gin.BATCH_SIZE=8"]) == 0
  run = calls[0][0][0]
  assert (run.evaluation.batches, run.batch) == (3, 8)


def test_eval_takes_t5x_files_and_either_name_of_the_checkpoint(module):
  for name in ("CHECKPOINT_PATH", "INITIAL_CHECKPOINT_PATH"):
    calls = module("evaluate", evaluate=lambda run, **_: {"loss": 2.5})
    words = [w.replace("pretrain", "eval") for w in WHOLE if "TRAIN_STEPS" not in w]
    assert main.main(["eval", *words, f"--gin.{name}=/a/checkpoint"]) == 0
    assert calls[0][1]["checkpoint"] == "/a/checkpoint"


@dataclasses.dataclass
class Written:
  input: str
  prediction: str


@pytest.fixture
def inference(module):
  def infer(run, texts, **_):
    return (Written(text, text.upper()) for text in texts)

  return module("infer", infer=infer, filled=lambda text, found: f"{text} [{found}]")


def test_infer_prints_a_line_for_each_prompt_and_input(inference, tmp_path, capsys):
  (tmp_path / "in.txt").write_text("two\n\nthree\n")
  words = [finished_run(tmp_path), "--prompt=one", f"--input={tmp_path / 'in.txt'}"]
  assert main.main(["infer", *words]) == 0
  assert capsys.readouterr().out == "ONE\nTWO\nTHREE\n"


def test_infer_writes_json_lines_to_a_file(inference, tmp_path, capsys):
  words = [finished_run(tmp_path), "--prompt=é", f"--output={tmp_path / 'out'}"]
  assert main.main(["infer", *words]) == 0
  assert capsys.readouterr().out == ""
  text = (tmp_path / "out").read_text(encoding="utf-8")
  assert json.loads(text) == {"input": "é", "prediction": "É"}


def test_infer_fills_blanks(inference, tmp_path, capsys):
  assert main.main(["infer", finished_run(tmp_path), "--prompt=a", "--fill"]) == 0
  assert capsys.readouterr().out == "a [A]\n"


def test_infer_reads_standard_input(inference, tmp_path, capsys, monkeypatch):
  import io

  monkeypatch.setattr(sys, "stdin", io.StringIO("four\n"))
  assert main.main(["infer", finished_run(tmp_path), "--input=-"]) == 0
  assert capsys.readouterr().out == "FOUR\n"


def test_infer_passes_its_sampling_flags_on(inference, tmp_path):
  words = "--temperature=0.5 --topk=3 --num_decodes=2 --max_decode_len=7 --seed=4"
  assert main.main(["infer", finished_run(tmp_path), "--prompt=a", *words.split()]) == 0
  named = inference[0][1]
  assert (named["sampling"].temperature, named["sampling"].topk) == (0.5, 3)
  assert (named["decodes"], named["tokens"], named["seed"]) == (2, 7, 4)


def test_the_old_name_of_data_dir_still_works(module, whole, capsys):
  calls = module("train", train=lambda run, **_: 0)
  assert main.main(["train", *whole, "--tfds_data_dir=/data"]) == 0
  assert calls[0][0][0].data_dir == "/data"
  assert "deprecated" in capsys.readouterr().err


# Flags: T5X gin_utils_test.test_rewrite_gin_args


@pytest.mark.parametrize(
  "word, rewritten",
  [
    ("--gin.value=3", "--gin_bindings=value = 3"),
    ('--gin.tricky="key = value"', '--gin_bindings=tricky = "key = value"'),
    ("--gin.scope/foo=bar", "--gin_bindings=scope/foo = bar"),
    ("gin.value=3", "gin.value=3"),
    ("--gin_bindings=a = 1", "--gin_bindings=a = 1"),
  ],
)
def test_gin_flags_become_bindings_as_in_t5x(word, rewritten):
  assert flags.rewrite_gin_flags([word]) == [rewritten]


def test_a_gin_flag_without_a_value_is_an_error():
  with pytest.raises(ConfigError, match="--gin.NAME=VALUE"):
    flags.rewrite_gin_flags(["--gin.value"])


def test_the_order_of_both_kinds_of_bindings_is_kept():
  words = ["--gin.A=1", "--gin_bindings=A = 2", "--gin.A=3"]
  found = flags.parse_arguments(["train", *words]).gin_bindings
  assert found == ["A = 1", "A = 2", "A = 3"]


def test_t5xs_run_mode_names_a_verb():
  assert flags.parse_arguments(["--run_mode=eval", "--step=3"]).verb == "eval"


@pytest.mark.parametrize("verb", list(flags.SUMMARIES))
def test_the_examples_of_help_are_valid_commands(verb):
  text = flags.EXAMPLES[verb].replace("\\\n", " ").replace(" ... ", " ")
  commands = [line for line in text.splitlines() if line.startswith("  t5x_like")]
  assert commands
  for command in commands:
    assert flags.parse_arguments(shlex.split(command)[1:]).verb == verb


@pytest.mark.parametrize("verb", list(flags.SUMMARIES))
def test_help_of_a_verb_shows_an_example(verb, capsys):
  assert main.main([verb, "--help"]) == 0
  assert f"t5x_like {verb} --" in capsys.readouterr().out


# Errors


@pytest.mark.parametrize(
  "words, message",
  [
    (["trian"], "unknown verb 'trian'; did you mean 'train'?"),
    (["train", "--gin_fil=a"], "did you mean '--gin_file'?"),
    (["train", "--gin_file=no.gin"], "no file no.gin"),
    (["train"], "No gin file describes a run"),
    (["train", *WHOLE], "Required value missing: MODEL_DIR"),
    (["eval", "--model_dir=/nowhere"], "/nowhere holds no config.gin"),
    (["eval", "--step=x"], "--step"),
    (["infer", "--model_dir=/nowhere"], "nothing to infer from"),
  ],
)
def test_a_mistake_is_one_line_and_status_2(words, message, capsys):
  assert main.main(words) == 2
  error = capsys.readouterr().err
  assert error.startswith("error: ") and error.count("\n") == 1
  assert message in error


def test_debug_shows_the_traceback_of_a_mistake(capsys):
  assert main.main(["train", "--debug"]) == 2
  assert "Traceback" in capsys.readouterr().err


def test_a_value_error_of_ours_is_a_mistake_and_one_of_a_library_a_bug():
  def caught(action) -> Exception:
    try:
      action()
    except Exception as error:
      return error

  ours = caught(lambda: flags.rewrite_gin_flags(["--gin.x"]))
  assert main.user_message(ours)
  theirs = caught(lambda: np.zeros(2).reshape(3))
  assert main.user_message(theirs) is None


def test_a_bug_shows_its_traceback_and_status_1(module, whole, capsys):
  def broken(run, **_):
    return np.zeros(2).reshape(3)

  module("train", train=broken)
  assert main.main(["train", *whole]) == 1
  assert "Traceback" in capsys.readouterr().err


def test_running_out_of_device_memory_names_the_knobs():
  error = RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 1 bytes")
  message = main.user_message(error)
  assert "BATCH_SIZE" in message and "microbatches" in message and "remat" in message


def test_a_missing_file_while_running_is_a_mistake():
  assert "nowhere" in main.user_message(FileNotFoundError(2, "No such file", "nowhere"))


# Processes: what only a real command shows


def run(*words: str) -> subprocess.CompletedProcess:
  command = [sys.executable, "-m", "t5x_like.main", *words]
  return subprocess.run(command, capture_output=True, text=True, check=False)


def test_help_answers_without_jax(root):
  done = run("--help")
  assert done.returncode == 0
  assert "t5x_like train --gin_file=" in done.stdout
  code = "import sys, t5x_like.main; print('jax' in sys.modules, 'gin' in sys.modules)"
  imported = subprocess.run(
    [sys.executable, "-c", code], capture_output=True, text=True
  )
  assert imported.stdout.split() == ["False", "False"]


def test_a_real_mistake_exits_with_2_and_one_line():
  done = run(
    "train", "--gin_file=models/t5_1_1/tiny.gin", "--gin_file=runs/pretrain.gin"
  )
  assert done.returncode == 2
  assert done.stdout == ""
  assert done.stderr.startswith("error: Required values missing")
  assert done.stderr.count("\n") == 1


def test_inspect_simulates_the_devices_it_is_given(tmp_path):
  mesh = ["--gin.mesh.Mesh.fsdp=4", "--gin.PARTITIONING_RULES=fsdp"]
  words = [*WHOLE, f"--gin.MODEL_DIR={tmp_path}", *mesh]
  done = run("inspect", "--devices=8", "--json", *words)
  assert done.returncode == 0, done.stderr
  report = json.loads(done.stdout)
  assert report["mesh"] == {
    "pipeline": 1,
    "data": 2,
    "fsdp": 4,
    "context": 1,
    "tensor": 1,
  }
  rows = {row["path"]: row for row in report["parameters"]}
  assert rows["token_embedder/embedding"]["sharding"] == [None, "fsdp"]


def test_a_model_file_alone_can_be_inspected(capsys):
  assert main.main(["inspect", "--json", "--gin_file=models/t5_1_1/tiny.gin"]) == 0
  assert json.loads(capsys.readouterr().out)["total"] == 180_736


def test_infer_names_an_input_file_that_it_cannot_read(inference, tmp_path, capsys):
  assert main.main(["infer", finished_run(tmp_path), "--input=/nowhere"]) == 2
  assert "--input=/nowhere" in capsys.readouterr().err

"""gin_configs/: every file parses and builds what it says; nothing in it is unread."""

import re
from pathlib import Path

import pytest

from models.components import param
from t5x_like import config

ROOT = Path(__file__).resolve().parents[1]
FILES = sorted((ROOT / "gin_configs").rglob("*.gin"))


def names(folder: str) -> list[str]:
  base = ROOT / "gin_configs"
  return [path.relative_to(base).as_posix() for path in FILES if folder in path.parts]


GIVEN = {
  "TASK_FEATURE_LENGTHS": "{'inputs': 64, 'targets': 16}",
  "TEXT_FILES": "/nowhere/*.txt",
  "INSTRUCTION_FILES": "/nowhere/*.jsonl",
  "JSON_FILES": "/nowhere/*.jsonl",
  "TRAIN_STEPS": "10",
  "MODEL_DIR": "/tmp/run",
  "INITIAL_CHECKPOINT_PATH": "/tmp/run",
  "CHECKPOINT_PATH": "/tmp/run",
}


def parsed(files: list[str], **given: str) -> config.Config:
  """The files, with those of GIVEN that they ask for and `given`."""
  paths = [str(ROOT / "tests" / "configs")]
  flags = [f"{name} = {value}" for name, value in given.items()]
  program = config.parse(files, flags, paths).program
  required = config.Macro("gin.REQUIRED")
  asked = {
    name: value
    for name, value in GIVEN.items()
    if (found := program.macro(name)) is not None and found.value == required
  }
  if program.macro("TASK") is None and not given:
    given = {"MIXTURE_OR_TASK_NAME": "text"}
  bindings = [f"{name} = {value}" for name, value in (asked | given).items()]
  return config.parse(files, bindings, paths)


@pytest.mark.parametrize("name", names("models"))
def test_a_model_file_builds_the_number_of_parameters_it_states(name):
  text = (ROOT / "gin_configs" / name).read_text()
  stated = int(re.search(r"([\d,]+) parameters", text)[1].replace(",", ""))
  assert param.count(config.parse([name]).build_model()) == stated


@pytest.mark.parametrize("name", names("models"))
def test_a_model_file_leaves_no_binding_unread(name):
  parsed([name, "runs/pretrain.gin"]).build()


@pytest.mark.parametrize("name", names("runs"))
def test_a_run_file_builds(name):
  alone = config.parse([name]).program.macro("MODEL")
  files = [name] if alone else ["models/t5_1_1/tiny.gin", name]
  parsed(files).build()


@pytest.mark.parametrize("name", names("data"))
def test_a_data_file_names_a_task(name):
  task = Path(name).stem
  files = ["models/t5_1_1/tiny.gin", "runs/pretrain.gin"]
  found = parsed(files, MIXTURE_OR_TASK_NAME=task)
  assert found.build().task is not None


def build_with(name: str) -> object:
  return parsed(["models/t5_1_1/tiny.gin", "runs/pretrain.gin", name]).build()


@pytest.mark.parametrize("name", names("optim"))
def test_an_optimizer_file_builds_the_optimizer_of_its_name(name):
  run = build_with(name)
  assert type(run.optimizer).__name__.lower() == Path(name).stem
  rates = [float(run.optimizer.learning_rate(step)) for step in (0, 5, 10)]
  assert max(rates) > 0.0


def test_the_default_optimizer_is_the_one_of_its_file():
  default = parsed(["models/t5_1_1/tiny.gin", "runs/pretrain.gin"]).build()
  assert build_with("optim/adafactor.gin").optimizer == default.optimizer


@pytest.mark.parametrize("name", names("partitioning"))
def test_a_partitioning_file_gives_its_rules_and_a_mesh_that_has_their_axes(name):
  run = build_with(name)
  assert run.rules == Path(name).stem
  axes = ("pipeline", "fsdp", "context", "tensor")
  split = {axis for axis in axes if getattr(run.mesh, axis) != 1}
  # Experts are spread over the devices that share the storage of a copy.
  named = {"fsdp" if part == "expert" else part for part in run.rules.split("_")}
  # ZeRO 1 and 2 split over `data`, sequences over `tensor`.
  assert split == named - {"data", "zero1", "zero2", "sequence"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_file_begins_by_saying_what_it_is(path):
  assert path.read_text().startswith("# ")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_macro_of_our_files_is_read_by_one_of_them(path):
  everything = "\n".join(other.read_text() for other in FILES)
  for macro in re.findall(r"^([A-Z][A-Z0-9_]*) =", path.read_text(), re.MULTILINE):
    assert f"%{macro}" in everything or macro == "MIXTURE_OR_TASK_NAME", macro


# (first step or tokens, batch) of each stage, from the papers the files name.
CURRICULA = {
  "bloomberg_gpt_batch": [(0, 1024), (7_200, 2048)],
  "palm_batch_doublings": [(0, 512), (50_000, 1024), (115_000, 2048)],
}


@pytest.mark.parametrize("name", names("curricula"))
def test_a_curriculum_file_builds_its_stages(name):
  files = ["models/llama/tiny.gin", "runs/pretrain.gin", name]
  given = {"MULTI_START": "4", "MONO_START": "8", "MIXTURE_OR_TASK_NAME": "text"}
  files_given = {"MULTI_FILES": "/nowhere/*", "MONO_FILES": "/nowhere/*"}
  if "codegen" not in name:
    given, files_given = {"MIXTURE_OR_TASK_NAME": "text"}, {}
  found = parsed(files, **given, **files_given).build().settled
  assert len(found) > 1
  if expected := CURRICULA.get(Path(name).stem):
    assert [(stage.start, stage.batch) for stage in found] == expected


ARMS = [name for name in names("studies") if Path(name).stem.count("_") and "/" in name]


@pytest.mark.parametrize(
  "name",
  [arm for arm in ARMS if "MODEL_DIR" in (ROOT / "gin_configs" / arm).read_text()],
)
def test_an_arm_of_a_study_builds_and_is_evaluated_like_the_others(name):
  base = config.parse([name]).build()
  assert base.evaluation.task is not None
  others = [
    config.parse([arm]).build() for arm in ARMS if Path(arm).parent == Path(name).parent
  ]
  assert {
    repr([leaf.objective for leaf in run.evaluation.task.leaves]) for run in others
  } == {repr([leaf.objective for leaf in base.evaluation.task.leaves])}

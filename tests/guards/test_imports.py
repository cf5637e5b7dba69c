"""Guards: who may import what, and what every module must have. Reads sources only.

The tables are the architecture. A failure names the file, the line and the rule; if the
rule is wrong, change the table and docs/design.md together.
"""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
OURS = ("partitioning", "models", "t5x_like", "gin_configs")

# Layer -> our layers it may import. The longest name that a module begins with holds.
MAY_IMPORT = {
  "gin_configs": (),
  "partitioning": ("partitioning",),
  "models.components": ("models.components",),
  "models.ancestors": ("models.ancestors", "models.components"),
  "models.ancestors.ngram": ("models.ancestors.smoothing",),
  "models.ancestors.smoothing": (),
  "models.families": ("models.families", "models.ancestors", "models.components"),
  "models.row": (),
  "models.zoo": (
    "models.families",
    "models.components",
    "models.row",
    "models.zoo_ancestors",
    "models.zoo_encoders",
    "models.zoo_gpt",
    "models.zoo_gpt3",
    "models.zoo_mixtures",
    "models.zoo_parallel",
    "models.zoo_relative",
    "models.zoo_variants",
  ),
  "models.zoo_ancestors": ("models.families", "models.components", "models.row"),
  "models.zoo_encoders": ("models.families", "models.components", "models.row"),
  "models.zoo_gpt": ("models.families", "models.components", "models.row"),
  "models.zoo_gpt3": ("models.families", "models.components", "models.row"),
  "models.zoo_mixtures": ("models.families", "models.components", "models.row"),
  "models.zoo_parallel": ("models.families", "models.components", "models.row"),
  "models.zoo_relative": ("models.families", "models.components", "models.row"),
  "models.zoo_variants": ("models.families", "models.components", "models.row"),
  "models.transforms": ("models.components",),
  "t5x_like.data.objectives": ("t5x_like.data.objectives",),
  "t5x_like.data.layouts": ("t5x_like.data",),
  "t5x_like.data.packing": ("t5x_like.data",),
  "t5x_like.data": ("t5x_like.data",),
  "t5x_like.losses": (),
  "t5x_like.schedules": (),
  "t5x_like.roles": (),
  "t5x_like.adafactor": ("t5x_like.roles",),
  "t5x_like.muon": ("t5x_like.roles",),
  "t5x_like.optim": (
    "t5x_like.schedules",
    "t5x_like.adafactor",
    "t5x_like.muon",
    "t5x_like.roles",
  ),
  "t5x_like.launching": ("t5x_like.launching",),
  # Studies read run directories; nothing here starts a training inside the process.
  "t5x_like.study": ("t5x_like.study", "t5x_like.launching"),
  "t5x_like.study.budget": ("t5x_like.study", "models"),
  "t5x_like.study.cells": (
    "t5x_like.study",
    "t5x_like.config",
    "t5x_like.statements",
  ),
  "t5x_like.study.reader": (
    "t5x_like.study",
    "t5x_like.config",
    "t5x_like.statements",
  ),
  "t5x_like.study.rows": ("t5x_like.study", "t5x_like.identity"),
  "t5x_like.study.tuning": (
    "t5x_like.study",
    "t5x_like.identity",
    "t5x_like.statements",
  ),
  "t5x_like.study.running": ("t5x_like.study", "t5x_like.statements"),
  "t5x_like.study.conventions": ("t5x_like.study", "models"),
  "t5x_like.study.points": ("t5x_like.study", "t5x_like.statements"),
  "t5x_like.study.verbs": ("t5x_like.study", "t5x_like.statements"),
  "t5x_like": ("t5x_like", "models", "partitioning"),
}

# Layer -> libraries it may import besides the standard library.
LIBRARIES = {
  "gin_configs": (),
  "partitioning": ("jax", "numpy"),
  "partitioning.axes": (),
  "partitioning.rules": (),
  "models.components": ("jax", "flax", "numpy"),
  "models.components.spec": (),
  "models.ancestors": ("jax", "flax", "numpy"),
  "models.ancestors.ngram": ("numpy",),
  "models.ancestors.smoothing": ("numpy",),
  "models.families": (),
  "models.row": (),
  "models.zoo": (),
  "models.zoo_ancestors": (),
  "models.zoo_encoders": (),
  "models.zoo_gpt": (),
  "models.zoo_gpt3": (),
  "models.zoo_mixtures": (),
  "models.zoo_parallel": (),
  "models.zoo_relative": (),
  "models.zoo_variants": (),
  "models.transforms": ("jax", "numpy"),
  "t5x_like.data.objectives": ("numpy",),
  "t5x_like.data.layouts": ("numpy",),
  "t5x_like.data.packing": ("numpy",),
  "t5x_like.data": (
    "absl",
    "array_record",
    "etils",
    "google",  # protobuf
    "grain",
    "numpy",
    "pyarrow",
    "sentencepiece",
    "tensorflow_datasets",
    "tokenizers",
    "zstandard",
  ),
  "t5x_like.losses": ("jax",),
  "t5x_like.launching": (),
  "t5x_like.study": ("numpy", "scipy"),
  "t5x_like.study.figures": ("numpy", "matplotlib"),
  "t5x_like.study.optuna_trials": ("optuna",),
  "t5x_like.study.ray_tasks": ("ray",),
}

# Library -> the only modules that may import it: one door each.
DOORS = {
  "gin": ("t5x_like.config",),
  "orbax": ("t5x_like.checkpoint", "t5x_like.retention", "t5x_like.stepdirs"),
  "tensorboardX": ("t5x_like.ledger",),
  "optuna": ("t5x_like.study.optuna_trials",),
  "ray": ("t5x_like.study.ray_tasks",),
  "matplotlib": ("t5x_like.plot", "t5x_like.study.figures"),
  "safetensors": ("t5x_like.interop.weights",),
}

NEVER = ("tensorflow", "torch", "transformers", "seqio", "t5x")
NO_NOUNS = ("utils.py", "common.py", "helpers.py", "misc.py")


def modules() -> list[tuple[str, Path]]:
  found = []
  for top in OURS:
    for path in sorted((ROOT / top).rglob("*.py")):
      parts = path.relative_to(ROOT).with_suffix("").parts
      found.append((".".join(parts).removesuffix(".__init__"), path))
  return found


MODULES = modules()
each_module = pytest.mark.parametrize(
  "name, path", MODULES, ids=[name for name, _ in MODULES]
)


def imports(path: Path) -> list[tuple[str, int]]:
  """(dotted name, line) of every import; `from a import b` is "a.b"."""
  found = []
  for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
    if isinstance(node, ast.Import):
      found += [(alias.name, node.lineno) for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
      assert node.level == 0, f"{path}:{node.lineno}: imports are absolute"
      found += [(f"{node.module}.{alias.name}", node.lineno) for alias in node.names]
  return found


def under(name: str, prefix: str) -> bool:
  return name == prefix or name.startswith(f"{prefix}.")


def rule(table: dict, name: str):
  layer = max(
    (prefix for prefix in table if under(name, prefix)), key=len, default=None
  )
  return table.get(layer)


@each_module
def test_a_layer_imports_only_what_is_below_it(name, path):
  allowed = rule(MAY_IMPORT, name)
  for imported, line in imports(path):
    if imported.split(".")[0] in OURS:
      assert any(under(imported, layer) for layer in allowed), (
        f"{path}:{line} imports {imported}; {name} may import only {allowed}"
      )


@each_module
def test_a_layer_uses_only_its_libraries(name, path):
  libraries = rule(LIBRARIES, name)
  for imported, line in imports(path):
    top = imported.split(".")[0]
    if top in OURS or top in sys.stdlib_module_names:
      continue
    assert top not in NEVER, f"{path}:{line} imports {imported}, which is never used"
    if top in DOORS:
      assert name in DOORS[top], f"{path}:{line}: only {DOORS[top]} may import {top}"
    elif libraries is not None:
      assert top in libraries, f"{path}:{line}: {name} may import only {libraries}"


@each_module
def test_every_module_says_what_it_is(name, path):
  assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))


@each_module
def test_a_package_file_holds_a_docstring_alone(name, path):
  if path.name == "__init__.py":
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert len(tree.body) == 1, "a package file is a map; import from where things live"


@each_module
def test_no_file_is_longer_than_400_lines_or_named_after_nothing(name, path):
  assert len(path.read_text(encoding="utf-8").splitlines()) <= 400
  assert path.name not in NO_NOUNS


def imported_by(module: str) -> set[str]:
  """Top-level packages in memory after a fresh process imported `module`."""
  code = f"import sys, {module}; print(*{{name.split('.')[0] for name in sys.modules}})"
  command = [sys.executable, "-c", code]
  done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
  return set(done.stdout.split())


@pytest.mark.parametrize("module", ["sources", "tokens", "layouts", "objectives"])
def test_data_modules_load_without_jax(module):
  # Not so pipeline.py: Grain itself imports JAX where it is installed.
  assert "jax" not in imported_by(f"t5x_like.data.{module}")


def test_training_never_imports_tensorflow():
  assert not imported_by("t5x_like.train") & {"tensorflow", "torch", "transformers"}

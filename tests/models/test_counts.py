"""Parameter counts: every published size, to the unit. `pytest -s` prints the table."""

import pytest

from models.components.param import count
from models.components.spec import replace
from models.families.t5 import t5_1_1
from models.zoo import ZOO
from t5x_like import config


@pytest.fixture(scope="module", autouse=True)
def table():
  """Prints what was compared."""
  yield
  print(f"\n{'model':<18}{'counted':>18}{'published':>18}  how counted")
  for name, row in ZOO.items():
    published = f"{row.parameters:,}" if row.parameters else "-"
    print(f"{name:<18}{count(row.spec()):>18,}{published:>18}  {row.counted}")


@pytest.mark.parametrize("name", [n for n, row in ZOO.items() if row.parameters])
def test_count_equals_the_published_one(name):
  assert count(ZOO[name].spec()) == ZOO[name].parameters


def test_count_of_t5x_local_tiny():
  """Heads whose widths do not add up to the embedding's; T5X counts 518,240."""
  spec = t5_1_1(dim=8, hidden=16, heads=4, head_dim=3, layers=2)
  assert count(spec) == 518_240


@pytest.mark.parametrize("name", [n for n in ZOO if "/tiny" in n])
def test_tiny_sizes_are_tiny(name):
  assert 1_000 < count(ZOO[name].spec()) < 200_000


@pytest.mark.parametrize("name", ZOO)
def test_gin_file_alone_builds_the_same_model(name):
  assert config.parse([f"models/{name}.gin"]).build_model() == ZOO[name].spec()


def test_dropout_of_a_model_file_can_be_set_from_outside():
  built = config.parse(["models/byt5/tiny.gin"], ["DROPOUT_RATE = 0.1"]).build_model()
  assert built == replace(ZOO["byt5/tiny"].spec(), dropout=0.1)


def test_every_model_file_of_the_zoo_is_indexed(root):
  folders = {row.family for row in ZOO.values()}
  files = {
    f"{folder}/{path.stem}"
    for folder in folders
    for path in (root / "gin_configs" / "models" / folder).glob("*.gin")
  }
  # demo.gin is a size made for one command, not a model of the zoo.
  assert {name for name in files if not name.endswith("/demo")} == set(ZOO)

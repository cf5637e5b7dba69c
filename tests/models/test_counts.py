"""Parameter counts: every published size, to the unit. `pytest -s` prints the table."""

import gin
import pytest

from models.components.param import count
from models.zoo import ZOO


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


@pytest.mark.parametrize("name", [n for n in ZOO if n.endswith("/tiny")])
def test_tiny_sizes_are_tiny(name):
  assert 1_000 < count(ZOO[name].spec()) < 200_000


@pytest.mark.parametrize("name", ZOO)
def test_gin_file_builds_the_same_model(name, root):
  assert built(root / ZOO[name].gin_file) == ZOO[name].spec()


@pytest.mark.parametrize("name", ZOO)
def test_gin_file_states_the_count_in_its_first_line(name, root):
  first = (root / ZOO[name].gin_file).read_text().splitlines()[0]
  assert f"{count(ZOO[name].spec()):,} parameters" in first


def test_every_model_file_of_the_zoo_is_indexed(root):
  folders = {row.family for row in ZOO.values()}
  files = {
    f"{folder}/{path.stem}"
    for folder in folders
    for path in (root / "gin_configs" / "models" / folder).glob("*.gin")
  }
  # demo.gin is a size made for one command, not a model of the zoo.
  assert {name for name in files if not name.endswith("/demo")} == set(ZOO)


def built(path) -> object:
  """The value of MODEL after reading one file alone, with gin itself."""
  gin.clear_config()
  try:
    gin.parse_config_file(str(path))
    reference = gin.query_parameter("MODEL/gin.macro.value")
    return reference.scoped_configurable_fn()
  finally:
    gin.clear_config()

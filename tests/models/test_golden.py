"""Golden files: what every model of the zoo is, in text, so that a change shows.

A difference here is either a mistake or a decision that breaks checkpoints: say which
in the change, and write the new text with `--update-golden`.
"""

import pytest

from models.components.param import declarations
from models.components.spec import fold
from models.zoo import ZOO


@pytest.mark.parametrize("name", ZOO)
def test_model_is_what_its_golden_file_says(name, root, update_golden):
  path = root / "tests" / "golden" / f"{name}.txt"
  text = described(ZOO[name].spec())
  if update_golden:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
  assert path.read_text() == text


def described(spec) -> str:
  """The folded spec, then every parameter with shape, axes and initializer."""
  declared = declarations(spec)
  total = sum(d.size for d in declared.values())
  lines = [
    f"{path} {list(d.shape)} {' '.join(d.axes)} {d.init}"
    for path, d in declared.items()
  ]
  return "\n".join([fold(spec), "", *lines, "", f"{total:,} parameters", ""])

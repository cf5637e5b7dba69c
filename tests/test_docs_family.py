"""docs/add_a_family.md shows files as they are."""

import re


def test_every_block_is_in_the_file_named_before_it(root):
  text = (root / "docs" / "add_a_family.md").read_text()
  found = re.findall(
    r"`([\w/]+\.(?:py|gin))`[^`]*?```(?:python)?\n(.*?)```", text, re.S
  )
  assert [name for name, _ in found] == [
    "models/families/olmo.py",
    "gin_configs/models/olmo/1b.gin",
    "models/zoo.py",
    "tests/models/test_parity_gpt.py",
  ]
  for name, block in found:
    assert block.rstrip() in (root / name).read_text(), name

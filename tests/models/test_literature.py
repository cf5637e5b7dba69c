"""The table of systems in docs/zoo.md names what is there, and all of it."""

import literature
import pytest

from models.zoo import FAMILIES, ZOO

FAMILY_NAMES = {family.name for family in FAMILIES}


@pytest.mark.parametrize("system", literature.SYSTEMS, ids=lambda system: system.name)
def test_what_stands_for_a_system_exists(system, root):
  for name in system.names:
    known = name in FAMILY_NAMES or name in ZOO
    assert known or (name.endswith(".py") and (root / name).is_file()), name


def test_every_family_is_named_and_no_system_twice():
  named = {name.split("/")[0] for system in literature.SYSTEMS for name in system.names}
  assert FAMILY_NAMES <= named
  titles = [system.name for system in literature.SYSTEMS]
  assert len(titles) == len(set(titles))


def test_a_system_without_a_published_architecture_says_so():
  """Sizes of which nothing was published are told as ours."""
  noted = {name for s in literature.SYSTEMS if s.note for name in s.names}
  unknown = {f.name for f in FAMILIES if f.reference.startswith("nothing")}
  assert unknown <= noted

"""Rules: presets by name, own rules checked before they are used."""

import pytest

from partitioning.rules import PRESETS, SCHEMES, Scheme, resolve


def test_a_name_is_a_preset():
  assert resolve("fsdp").rules is PRESETS["fsdp"]


def test_an_unknown_preset_is_an_error_that_lists_them():
  with pytest.raises(ValueError, match="'fdsp' are no preset.*fsdp_tensor"):
    resolve("fdsp")


@pytest.mark.parametrize("rules", PRESETS.values(), ids=PRESETS)
def test_presets_are_rules_and_spread_the_batch(rules):
  assert resolve(rules) == Scheme(rules=rules)
  # The first rule of a name is the one that acts on an array without experts.
  first = next(target for axis, target in rules if axis == "batch")
  # Outside of the layers, stages share the rows.
  stages = ("pipeline",) if ("layers", "pipeline") in rules else ()
  assert first == ("data", "fsdp", *stages)


def test_a_misspelt_logical_axis_is_an_error():
  with pytest.raises(ValueError, match="logical axis 'head'.*kv_heads"):
    resolve((("batch", "data"), ("head", "tensor")))


def test_a_misspelt_mesh_axis_is_an_error():
  with pytest.raises(ValueError, match="mesh axis 'model'.*tensor"):
    resolve((("heads", ("data", "model")),))


def test_what_a_scheme_leaves_open_follows_its_rules():
  placed = resolve("fsdp").placed
  assert placed == dict.fromkeys(("rules", "state", "gradients"), PRESETS["fsdp"])


def test_zero_splits_state_first_and_gradients_next():
  """Rajbhandari et al. 2020, arXiv:1910.02054, section 5; parameters stay whole."""
  stored = ("embed", ("data", "fsdp"))
  split = {
    name: {field for field, rules in SCHEMES[name].placed.items() if stored in rules}
    for name in ("zero1", "zero2")
  }
  assert split == {"zero1": {"state"}, "zero2": {"state", "gradients"}}


def test_a_misspelt_axis_of_any_part_of_a_scheme_is_an_error():
  wrong = Scheme(rules=PRESETS["data"], state=(("embed", "fdsp"),))
  with pytest.raises(ValueError, match="mesh axis 'fdsp'"):
    resolve(wrong)

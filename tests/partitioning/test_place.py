"""Placement rules. Nothing here needs more than one device: meshes are abstract."""

import jax
import pytest
from jax.sharding import PartitionSpec as P

from partitioning import place
from partitioning.mesh import Mesh
from partitioning.rules import PRESETS, SCHEMES


def mesh(data=1, fsdp=1, tensor=1):
  return jax.sharding.AbstractMesh((data, fsdp, tensor), ("data", "fsdp", "tensor"))


def spec(axes, shape, rules, over):
  return place.spec_for(axes, shape, rules=rules, mesh=over, name="x/kernel")


def test_an_earlier_rule_takes_its_mesh_axis_first():
  # The example of T5X's documentation, with its mesh axis `model` called `tensor`.
  rules = (
    ("heads", "tensor"),
    ("embed", "tensor"),
    ("embed", "data"),
    ("vocab", "tensor"),
  )
  over = mesh(data=2, tensor=4)
  assert spec(("embed", "heads"), (8, 8), rules, over) == P("data", "tensor")
  assert spec(("vocab", "embed"), (8, 8), rules, over) == P(None, "tensor")


def test_a_rule_to_none_keeps_an_axis_whole():
  rules = (("embed", None), ("embed", "data"))
  assert spec(("embed",), (8,), rules, mesh(data=2)) == P(None)


def test_an_axis_may_be_split_over_two_mesh_axes():
  rules = (("embed", ("data", "fsdp")), ("mlp", "fsdp"))
  over = mesh(data=2, fsdp=2)
  assert spec(("embed", "mlp"), (8, 8), rules, over) == P(("data", "fsdp"), None)


@pytest.mark.parametrize(
  ("preset", "expected"),
  [
    ("replicated", P(None, None)),
    ("data", P(None, None)),
    ("fsdp", P("fsdp", None)),
    ("tensor", P(None, "tensor")),
    ("fsdp_tensor", P("fsdp", "tensor")),
  ],
)
def test_presets_place_a_feed_forward_kernel(preset, expected):
  over = mesh(fsdp=2, tensor=2)
  assert spec(("embed", "mlp"), (8, 8), PRESETS[preset], over) == expected


@pytest.mark.parametrize(
  ("preset", "kernel", "slots"),
  [
    ("fsdp", P(None, "fsdp", None), P(None, ("data", "fsdp"), None, None)),
    ("expert", P("fsdp", None, None), P("fsdp", "data", None, None)),
    ("expert_tensor", P("fsdp", None, "tensor"), P("fsdp", "data", None, None)),
  ],
)
def test_experts_take_the_mesh_axis_of_storage_before_the_batch(preset, kernel, slots):
  over, rules = mesh(data=2, fsdp=2, tensor=2), PRESETS[preset]
  assert spec(("expert", "embed", "mlp"), (8, 8, 8), rules, over) == kernel
  axes = ("expert", "batch", None, None)
  assert spec(axes, (8, 8, 8, 8), rules, over) == slots
  assert spec(("batch", "length"), (8, 8), rules, over) == P(("data", "fsdp"), None)


def test_an_axis_that_does_not_divide_names_parameter_axis_and_mesh():
  with pytest.raises(ValueError, match="'heads' of x/kernel has size 6.*tensor of 4"):
    spec(("embed", "heads", "kv"), (8, 6, 2), PRESETS["tensor"], mesh(tensor=4))


def test_an_unknown_axis_is_an_error_that_lists_the_known_ones():
  with pytest.raises(ValueError, match="'embd' of x/kernel is not in .*embed"):
    spec(("embd",), (8,), PRESETS["data"], mesh())


def state(opt):
  shape = jax.ShapeDtypeStruct
  return {"params": {"a": {"kernel": shape((4, 8, 16), "float32")}}, "opt": opt}


def placed(opt):
  params = {"a/kernel": (("layers", "embed", "mlp"), (4, 8, 16))}
  rules = PRESETS["fsdp_tensor"]
  over = mesh(fsdp=2, tensor=2)
  tree = place.state_shardings(params, state(opt), rules=rules, mesh=over)
  return jax.tree.map(lambda s: s.spec, tree)["opt"]


def test_optimizer_state_is_placed_like_its_parameter():
  moment = {"a": {"kernel": jax.ShapeDtypeStruct((4, 8, 16), "float32")}}
  assert placed({"mu": moment})["mu"]["a"]["kernel"] == P(None, "fsdp", "tensor")


def test_row_and_column_statistics_keep_the_axes_that_are_left():
  shape = jax.ShapeDtypeStruct
  row = {"a": {"kernel": shape((4, 8), "float32")}}
  column = {"a": {"kernel": shape((4, 16), "float32")}}
  found = placed({"row": row, "column": column, "count": shape((), "int32")})
  assert found["row"]["a"]["kernel"] == P(None, "fsdp")
  assert found["column"]["a"]["kernel"] == P(None, "tensor")
  assert found["count"] == P()


def test_statistics_inherit_the_placement_of_their_parameter():
  # The kernel gives `tensor` to its heads, so the statistics of `embed`, of a size that
  # `tensor` does not divide, must not ask for it.
  params = {"a/kernel": (("heads", "kv", "embed"), (4, 8, 6))}
  rules = (("heads", "tensor"), ("embed", "tensor"))
  state = {"column": {"a": {"kernel": jax.ShapeDtypeStruct((6,), "float32")}}}
  tree = place.state_shardings(params, state, rules=rules, mesh=mesh(tensor=4))
  assert tree["column"]["a"]["kernel"].spec == P(None)


def test_placeholders_are_everywhere():
  unused = {"a": {"kernel": jax.ShapeDtypeStruct((1,), "float32")}}
  assert placed({"full": unused})["full"]["a"]["kernel"] == P(None)


def test_the_longest_path_decides_whose_state_it_is():
  params = {
    "kernel": (("embed",), (8,)),
    "a/kernel": (("mlp",), (8,)),
  }
  state = {"mu": {"a": {"kernel": jax.ShapeDtypeStruct((8,), "float32")}}}
  over = mesh(fsdp=2, tensor=2)
  tree = place.state_shardings(params, state, rules=PRESETS["fsdp_tensor"], mesh=over)
  assert tree["mu"]["a"]["kernel"].spec == P("tensor")


def test_the_rows_of_a_batch_are_spread_over_data_and_fsdp():
  over = mesh(data=2, fsdp=2, tensor=2)
  for name, rules in PRESETS.items():
    if not name.startswith("pipeline"):  # stages have rows too
      assert place.batch_sharding(over, rules).spec == P(("data", "fsdp"))


def test_one_device_constrains_nothing():
  constrain = place.constrainer(mesh(), PRESETS["data"])
  x = object()
  assert constrain(x, ("batch", "length")) is x


def test_a_large_leaf_of_no_parameter_is_an_error():
  with pytest.raises(ValueError, match="opt/other of shape .* belongs to no parameter"):
    placed({"other": jax.ShapeDtypeStruct((1000,), "float32")})


def test_a_mesh_that_does_not_use_all_devices_is_an_error():
  with pytest.raises(ValueError, match="needs a multiple of 3 devices.*there are 1"):
    Mesh(data=1, fsdp=3).build(jax.devices()[:1])


def test_two_open_axes_are_an_error():
  with pytest.raises(ValueError, match="one of them may be -1"):
    Mesh(data=-1, fsdp=-1)


def test_attention_finds_rows_split_by_context_but_not_by_sequences():
  """Inside a product of `fsdp_tensor_sequence` heads have taken the tensor axis."""
  over = jax.sharding.AbstractMesh((2, 1, 2, 2), ("data", "fsdp", "context", "tensor"))
  found = {name: place.row_axis(over, rules) for name, rules in PRESETS.items()}
  split = {name for name, axis in found.items() if axis is not None}
  assert split == {"context", "fsdp_context"}
  assert found["context"] == "context"


def test_rows_split_over_two_axes_are_an_error():
  rules = (("length", ("context", "tensor")),)
  with pytest.raises(ValueError, match="splits rows over 2 mesh axes"):
    place.row_axis(mesh(), rules)


def test_layers_split_over_two_axes_are_an_error():
  over = jax.sharding.AbstractMesh((2, 2), ("pipeline", "data"))
  assert place.layer_axis(over, PRESETS["pipeline"]) == "pipeline"
  assert place.layer_axis(over, PRESETS["data"]) is None
  with pytest.raises(ValueError, match="splits layers over 2 mesh axes"):
    place.layer_axis(over, (("layers", ("pipeline", "data")),))


def test_few_heads_of_keys_are_whole_on_every_device():
  rules, axes = PRESETS["tensor"], ("embed", "kv_heads", "kv")
  assert spec(axes, (8, 1, 4), rules, mesh(tensor=4)) == P(None, None, None)
  assert spec(axes, (8, 8, 4), rules, mesh(tensor=4)) == P(None, "tensor", None)
  with pytest.raises(ValueError, match="'kv_heads' of x/kernel has size 6"):
    spec(axes, (8, 6, 4), rules, mesh(tensor=4))


def test_vectors_read_from_a_table_are_split_as_its_columns_are():
  """The batch gives up the mesh axis that columns take; without one it keeps all."""
  axes, over = ("batch", "length", "features"), mesh(data=2, fsdp=4)
  whole = spec(axes, (16, 8, 32), PRESETS["fsdp"], over)
  looked_up = lambda rules: place._looked_up(whole, 2, (16, 8, 32), rules, over)
  assert looked_up(PRESETS["fsdp"]) == P("data", None, "fsdp")
  assert looked_up(PRESETS["data"]) == P(("data", "fsdp"), None, None)


def test_devices_that_no_rule_gives_anything_of_their_own_are_an_error():
  over = jax.sharding.AbstractMesh((2, 4), ("data", "tensor"))
  place.check_used(over, SCHEMES["fsdp_tensor"])
  place.check_used(
    jax.sharding.AbstractMesh((2, 1), ("data", "tensor")), SCHEMES["zero2"]
  )
  with pytest.raises(ValueError, match="Mesh.tensor=4: .* 4 devices would compute the"):
    place.check_used(over, SCHEMES["zero2"])

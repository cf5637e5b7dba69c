"""Placement: logical axes + rules + mesh -> where every array lives.

You are in: partitioning. Nothing is replicated by accident: an axis that a rule splits
and the mesh does not divide is an error that names the parameter.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import jax
from jax.sharding import NamedSharding, PartitionSpec

from partitioning.axes import AXES
from partitioning.rules import Rules, Scheme

# One head of keys serves all query heads in PaLM, eight do in LLaMA 2: devices that share
# the queries of a head have that head each (arXiv:2204.02311, section 4).
WHOLE_IF_FEW = ("kv_heads",)
REPLICATED = 64  # elements; a counter or a table of coefficients may be everywhere

Described = dict[str, tuple[tuple[str, ...], tuple[int, ...]]]  # path -> axes, shape


def spec_for(
  axes: tuple[str | None, ...],
  shape: tuple[int, ...],
  *,
  rules: Rules,
  mesh: jax.sharding.Mesh,
  name: str,
) -> PartitionSpec:
  """Mesh axes for each axis of an array called `name`.

  Rules act in their order, as in T5X: an earlier rule takes its mesh axis before a
  later one, whatever the order of the array's axes. Fewer heads of keys than devices
  are whole on each. Raises ValueError for an unknown axis, and for one that its mesh
  axis does not divide.
  """
  for axis in axes:
    if axis is not None and axis not in AXES:
      raise ValueError(
        f"Axis {axis!r} of {name} is not in partitioning/axes.py. Known axes: "
        f"{', '.join(sorted(AXES))}. Add it there with a line that says what it means."
      )
  parts = _apply(rules, axes)
  for at, (axis, size) in enumerate(zip(axes, shape, strict=True)):
    part = parts[at]
    count = _devices(part, mesh)
    if axis in WHOLE_IF_FEW and size < count:
      parts[at] = ()
      continue
    if size % count:
      raise ValueError(
        f"Axis {axis!r} of {name} has size {size}, which mesh axis "
        f"{'+'.join(part)} of {count} devices does not divide. Change the mesh, or "
        "the rules (partitioning/rules.py)."
      )
  return PartitionSpec(
    *(part if len(part) > 1 else (part[0] if part else None) for part in parts)
  )


def _apply(rules: Rules, axes: tuple[str | None, ...]) -> list[tuple[str, ...]]:
  """Mesh axes of each array axis; each mesh axis is used once."""
  found: dict[int, tuple[str, ...]] = {}
  for logical, target in rules:
    part = (target,) if isinstance(target, str) else tuple(target or ())
    for at, axis in enumerate(axes):
      taken = {one for other in found.values() for one in other}
      if axis == logical and at not in found and not taken.intersection(part):
        found[at] = part
  return [found.get(at, ()) for at in range(len(axes))]


def _devices(part: tuple[str, ...], mesh: jax.sharding.Mesh) -> int:
  return math.prod(mesh.shape[axis] for axis in part)


def sharding_for(
  axes: tuple[str | None, ...],
  shape: tuple[int, ...],
  *,
  rules: Rules,
  mesh: jax.sharding.Mesh,
  name: str,
) -> NamedSharding:
  """`spec_for`, on the mesh."""
  return NamedSharding(mesh, spec_for(axes, shape, rules=rules, mesh=mesh, name=name))


def state_shardings(
  params: Described,
  state: object,
  *,
  rules: Rules,
  mesh: jax.sharding.Mesh,
  memory: str | None = None,
) -> object:
  """A sharding for every leaf of a training state, a tree of arrays or their shapes.

  A leaf belongs to the parameter whose path its own path ends with: in the parameters
  themselves, in an optimizer's moments or in an average. With the parameter's shape it
  is placed like it; with some of its axes left out (the row and column statistics of
  Adafactor), like those that remain. A few numbers of no parameter are everywhere.
  memory: the kind of memory that leaves of parameters lie in, None for the device's.
  """
  return jax.tree_util.tree_map_with_path(
    lambda path, leaf: _leaf_sharding(path, leaf, params, rules, mesh, memory), state
  )


def _leaf_sharding(path, leaf, params, rules, mesh, memory) -> NamedSharding:
  keys = [_key(part) for part in path]
  shape = tuple(leaf.shape)
  for start in range(len(keys)):
    name = "/".join(keys[start:])
    if name in params:
      axes, whole = params[name]
      spec = spec_for(axes, whole, rules=rules, mesh=mesh, name=name)
      return NamedSharding(mesh, _kept(spec, whole, shape), memory_kind=memory)
  if math.prod(shape) > REPLICATED:
    raise ValueError(
      f"State leaf {'/'.join(keys)} of shape {shape} belongs to no parameter, so it "
      "cannot be placed. Optimizer state must mirror the tree of parameters."
    )
  return NamedSharding(mesh, PartitionSpec())


def _key(part: object) -> str:
  for attribute in ("key", "name", "idx"):
    if hasattr(part, attribute):
      return str(getattr(part, attribute))
  return str(part)


def _kept(
  spec: PartitionSpec, whole: tuple[int, ...], shape: tuple[int, ...]
) -> PartitionSpec:
  """The part of `spec` for the axes of `whole` that are left in `shape`, in order.

  Of axes of one size the first is taken. The other would divide as well, and these
  statistics are small: the choice costs nothing.
  """
  parts = []
  at = 0
  for size in shape:
    while at < len(whole) and whole[at] != size:
      at += 1
    # A placeholder of size 1 has no axis, and is whole.
    parts.append(spec[at] if at < len(whole) else None)
    at += 1
  return PartitionSpec(*parts)


def pinned(
  params: Described, *, rules: Rules, mesh: jax.sharding.Mesh
) -> Callable[[object], object]:
  """pin(tree): places a tree of numbers like parameters inside a traced function."""

  def pin(tree: object) -> object:
    placed = state_shardings(params, tree, rules=rules, mesh=mesh)
    return jax.lax.with_sharding_constraint(tree, placed)

  return pin if mesh.size > 1 else lambda tree: tree


def check_used(mesh: jax.sharding.Mesh, scheme: Scheme) -> None:
  """ValueError for a mesh axis that no rule splits anything over: its devices would all
  compute the same."""
  named = {
    axis
    for rules in scheme.placed.values()
    for _, target in rules
    for axis in ((target,) if isinstance(target, str) else target or ())
  }
  for axis, size in mesh.shape.items():
    if size > 1 and axis not in named:
      raise ValueError(
        f"Mesh.{axis}={size}: the rules split nothing over {axis!r}, so {size} devices "
        f"would compute the same. Set it to 1, or use rules that name it "
        "(PARTITIONING_RULES; partitioning/rules.py)."
      )


def row_axis(mesh: jax.sharding.Mesh, rules: Rules) -> str | None:
  """The mesh axis over which attention finds the tokens of a row split, if any.

  Raises ValueError for several: keys travel around one ring.
  """
  found = _apply(rules, ("batch", "length", "heads", "kv"))[1]
  if len(found) > 1:
    raise ValueError(
      f"Rule ('length', {found}) splits rows over {len(found)} mesh axes. Use one of them."
    )
  return found[0] if found and mesh.shape[found[0]] > 1 else None


def attention_axes(rules: Rules) -> tuple[tuple[str, ...], tuple[str, ...]]:
  """The mesh axes over which attention finds rows, and heads, split."""
  rows, _, heads, _ = _apply(rules, ("batch", "length", "heads", "kv"))
  return rows, heads


def layer_axis(mesh: jax.sharding.Mesh, rules: Rules) -> str | None:
  """The mesh axis over which the layers of a stack are split, if any.

  Raises ValueError for several: a microbatch goes through one line of stages.
  """
  found = _apply(rules, ("layers", "embed"))[0]
  if len(found) > 1:
    raise ValueError(
      f"Rule ('layers', {found}) splits layers over {len(found)} mesh axes. Use one of them."
    )
  return found[0] if found and mesh.shape[found[0]] > 1 else None


def batch_axes(rules: Rules) -> tuple[str, ...]:
  """The mesh axes over which the rows of a batch are spread."""
  return _apply(rules, ("batch",))[0]


def batch_sharding(mesh: jax.sharding.Mesh, rules: Rules) -> NamedSharding:
  """Rows of a batch over the mesh; every other axis is whole."""
  return NamedSharding(mesh, PartitionSpec(batch_axes(rules) or None))


def held_rows(sharding: NamedSharding, batch: int) -> slice:
  """Of `batch` rows, from the first to the last that a device of this process holds.

  Rows between them may belong to others, and rows may belong to several processes.
  """
  places = sharding.addressable_devices_indices_map((batch,)).values()
  ends = [place[0].indices(batch) for place in places]
  return slice(min(end[0] for end in ends), max(end[1] for end in ends))


def constrainer(
  mesh: jax.sharding.Mesh, rules: Rules
) -> Callable[[jax.Array, tuple[str | None, ...]], jax.Array]:
  """constrain(x, axes): pins an activation inside a traced function to the mesh."""

  def constrain(x: jax.Array, axes: tuple[str | None, ...]) -> jax.Array:
    # Activations are split by what their products need, never along the embedding:
    # FSDP stores weights that way but computes with whole ones.
    axes = tuple(None if axis == "embed" else axis for axis in axes)
    spec = spec_for(axes, x.shape, rules=rules, mesh=mesh, name="an activation")
    if "features" in axes:
      spec = _looked_up(spec, axes.index("features"), x.shape, rules, mesh)
    return jax.lax.with_sharding_constraint(x, NamedSharding(mesh, spec))

  return constrain if mesh.size > 1 else lambda x, axes: x


def _looked_up(
  spec: PartitionSpec, at: int, shape: tuple[int, ...], rules: Rules, mesh
) -> PartitionSpec:
  """`spec` with the table's own split of `embed` on axis `at`, taken from other axes."""
  own = _apply(rules, ("embed",))[0]
  own = own if shape[at] % _devices(own, mesh) == 0 else ()
  parts = []
  for place, part in enumerate(spec):
    names = (part,) if isinstance(part, str) else tuple(part or ())
    left = own if place == at else tuple(name for name in names if name not in own)
    parts.append(left if len(left) > 1 else (left[0] if left else None))
  return PartitionSpec(*parts)

"""Parameters: declared where they are used, drawn in one place.

You are in: models/components, bottom layer. A layer says what it needs (shape, logical
axes, initializer); nothing is allocated and no random key is threaded, so the largest
model builds in milliseconds and its counts come for free. `draw` fills every parameter
from a key that depends on the seed, the parameter's name and the absolute number of its
layer alone: the same values on any mesh, and two architectures that share a part start
with equal values there, however their layers group into runs.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
import re

import jax
import jax.numpy as jnp
from flax import nnx

from models.components.spec import spec

# Names that `stack.py` gives to runs of equal blocks; they say where a parameter is
# stored, not what it is, so they do not enter its random key.
BLOCKS = re.compile(r"blocks_\d+$")


@spec
class Normal:
  """N(0, std^2)."""

  std: float

  def __call__(self, key: jax.Array, shape: tuple, dtype: object) -> jax.Array:
    return self.std * jax.random.normal(key, shape, dtype)


@spec
class Uniform:
  """U(-bound, bound)."""

  bound: float

  def __call__(self, key: jax.Array, shape: tuple, dtype: object) -> jax.Array:
    return jax.random.uniform(key, shape, dtype, -self.bound, self.bound)


@spec
class FanIn:
  """N(0, scale / fan_in); fan_in is the product of the `inputs` leading axes."""

  inputs: int = 1
  scale: float = 1.0

  def __call__(self, key: jax.Array, shape: tuple, dtype: object) -> jax.Array:
    std = math.sqrt(self.scale / math.prod(shape[: self.inputs]))
    return std * jax.random.normal(key, shape, dtype)


@spec
class Each:
  """`init` for every slice along the first axis: an expert starts as one layer does."""

  init: object

  def __call__(self, key: jax.Array, shape: tuple, dtype: object) -> jax.Array:
    keys = jax.random.split(key, shape[0])
    return jax.vmap(lambda k: self.init(k, shape[1:], dtype))(keys)


@spec
class FanAverage:
  """N(0, 2 gain^2 / (fan_in + fan_out)) (Glorot and Bengio 2010); the fans are products
  of the `inputs` leading axes and of the others."""

  gain: float = 1.0
  inputs: int = 1

  def __call__(self, key: jax.Array, shape: tuple, dtype: object) -> jax.Array:
    fans = math.prod(shape[: self.inputs]) + math.prod(shape[self.inputs :])
    return self.gain * math.sqrt(2 / fans) * jax.random.normal(key, shape, dtype)


@spec
class FanAverageUniform:
  """Glorot uniform on a matrix: U(-a, a), a = sqrt(6 / (rows + columns))."""

  def __call__(self, key: jax.Array, shape: tuple, dtype: object) -> jax.Array:
    bound = math.sqrt(6.0 / (shape[0] + shape[1]))
    return jax.random.uniform(key, shape, dtype, -bound, bound)


@spec
class Constant:
  """Every element equals `value`."""

  value: float

  def __call__(self, key: jax.Array, shape: tuple, dtype: object) -> jax.Array:
    return jnp.full(shape, self.value, dtype)


@spec
class InitRule:
  """Parameters whose whole path matches `pattern` (a regular expression) use `init`."""

  pattern: str
  init: object


@dataclasses.dataclass(frozen=True)
class Declared:
  """What is known of a parameter before it has a value.

  `axes` names every axis of `shape` (stacked ones begin with `layers`); `layers` holds
  the absolute numbers of the stacked layers, or nothing.
  """

  shape: tuple[int, ...]
  axes: tuple[str, ...]
  init: object
  layers: tuple[int, ...] = ()

  @property
  def size(self) -> int:
    """Number of elements."""
    return math.prod(self.shape)


def declare(shape: tuple, axes: tuple, init: object) -> nnx.Param:
  """A parameter without a value: its shape, one logical name an axis, how to draw it."""
  assert len(shape) == len(axes), (shape, axes)
  value = jax.ShapeDtypeStruct(shape, jnp.float32)
  return nnx.Param(value, axes=tuple(axes), init=init, layers=())


def stacked(layer: nnx.Module, layers: tuple[int, ...]) -> nnx.Module:
  """The layers with these absolute numbers in one: a leading `layers` axis is added."""
  for _, value in nnx.iter_graph(layer):
    if isinstance(value, nnx.Param):
      old = value.get_value()
      value.set_value(jax.ShapeDtypeStruct((len(layers), *old.shape), old.dtype))
      value.set_metadata(axes=("layers", *value.axes), layers=layers)
  return layer


def relabeled(layer: nnx.Module, names: dict[str, str]) -> nnx.Module:
  """The layer with logical axes renamed: a norm over heads' features has no `embed`."""
  for _, value in nnx.iter_graph(layer):
    if isinstance(value, nnx.Param):
      value.set_metadata(axes=tuple(names.get(axis, axis) for axis in value.axes))
  return layer


def declarations(model: object) -> dict[str, Declared]:
  """Every parameter of a model (a spec, or a module built from it), by path.

  Paths are joined with "/" and sorted. Allocates nothing.
  """
  module = model if isinstance(model, nnx.Module) else model.build()
  rules = getattr(module, "init_rules", ())
  found = {}
  for path, value in nnx.to_flat_state(nnx.state(module, nnx.Param)):
    name = "/".join(str(part) for part in path)
    init = next((r.init for r in rules if re.fullmatch(r.pattern, name)), value.init)
    shape = tuple(value.get_value().shape)
    found[name] = Declared(shape, value.axes, init, value.layers)
  return dict(sorted(found.items()))


def count(model: object) -> int:
  """Number of parameters of a model spec (shared tables counted once)."""
  return sum(declared.size for declared in declarations(model).values())


def nested(flat: dict[str, object]) -> dict:
  """{"a/b": x} -> {"a": {"b": x}}."""
  tree: dict = {}
  for path, leaf in flat.items():
    *parents, last = path.split("/")
    node = tree
    for parent in parents:
      node = node.setdefault(parent, {})
    node[last] = leaf
  return tree


def flatten(tree: dict, prefix: str = "") -> dict[str, object]:
  """{"a": {"b": x}} -> {"a/b": x}."""
  flat = {}
  for name, node in tree.items():
    path = f"{prefix}{name}"
    flat.update(flatten(node, path + "/") if isinstance(node, dict) else {path: node})
  return flat


def draw(declared: dict[str, Declared], *, seed: int | jax.Array) -> dict:
  """Values for declared parameters, as a nested dict of float32 arrays.

  Call it inside `jax.jit(..., out_shardings=...)`: the values do not depend on the mesh.
  """
  root = jax.random.key(seed)
  return nested({path: _draw_one(path, d, root) for path, d in declared.items()})


def _draw_one(path: str, declared: Declared, root: jax.Array) -> jax.Array:
  name = "/".join(part for part in path.split("/") if not BLOCKS.match(part))
  digest = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")
  key = jax.random.fold_in(root, digest)
  if not declared.layers:
    return declared.init(key, declared.shape, jnp.float32)
  shape = declared.shape[1:]

  def one_layer(layer: jax.Array) -> jax.Array:
    return declared.init(jax.random.fold_in(key, layer), shape, jnp.float32)

  return jax.vmap(one_layer)(jnp.array(declared.layers))


def bind(module: nnx.Module, params: dict) -> nnx.Module:
  """A copy of `module` that holds `params`. Costs Python time: call it when tracing."""
  graph, state = nnx.split(module)
  flat = flatten(params)
  leaves = []
  for path, value in nnx.to_flat_state(state):
    leaves.append((path, value.replace(flat["/".join(str(part) for part in path)])))
  return nnx.merge(graph, nnx.from_flat_state(leaves))

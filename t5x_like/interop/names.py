"""Path tables: which tensors of theirs are which parameters of ours.

You are in: t5x_like/interop, pure part (numpy). Upstream: a format (formats/) gives the
rows of one layer and those outside of layers. Here they meet our storage, where equal
layers are stacked, and are followed in either direction one row at a time: no more than
one layer's tensor is held besides the result.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping

import numpy as np

from models.components.param import Declared
from models.components.stack import Stack, runs
from t5x_like.interop.layout import Each, Fused, Layout, Move, Same

SAME = Same()
LINEAR = Move("f d -> d f")  # torch.nn.Linear keeps [out, in]


@dataclasses.dataclass(frozen=True)
class Row:
  """ours: (path, layer in the stacked array or None) of each; theirs: names."""

  ours: tuple[tuple[str, int | None], ...]
  theirs: tuple[str, ...]
  layout: Layout = SAME


# One line of a format's table: our path(s), their name(s), the layout.
Line = tuple[str | tuple[str, ...], str | tuple[str, ...], Layout]


def outside(lines: Iterable[Line]) -> Iterator[Row]:
  """Rows of parameters that belong to no layer."""
  for ours, theirs, layout in lines:
    yield Row(tuple((path, None) for path in _many(ours)), _many(theirs), layout)


def layers(
  stack: Stack, side: str, lines: Callable[[object, int], Iterable[Line]]
) -> Iterator[Row]:
  """Rows of every layer: `lines(block, number)` has our paths below the block and full
  names of theirs; `side` is our path of the stack."""
  for first, period, count in runs(stack.blocks):
    for place in range(count):
      for offset in range(period):
        number = first + place * period + offset
        for ours, theirs, layout in lines(stack.blocks[number], number):
          paths = [f"{side}/blocks_{first + offset}/{path}" for path in _many(ours)]
          slots = tuple((path, place) for path in paths)
          yield Row(slots, _many(theirs), layout)


def _many(names: str | tuple[str, ...]) -> tuple[str, ...]:
  return (names,) if isinstance(names, str) else names


def to_ours(
  rows: Iterable[Row], tensors: Mapping[str, np.ndarray], declared: dict[str, Declared]
) -> dict[str, np.ndarray]:
  """{our path: float32 array} from their tensors, stacked as `declared`.

  Raises:
    ValueError: a tensor is missing or does not fit.
  """
  arrays: dict[str, np.ndarray] = {}
  for row in rows:
    theirs = [tensors[name] for name in row.theirs]
    try:
      values = row.layout.ours(theirs)
      for (path, index), value in zip(row.ours, values, strict=True):
        target = arrays.get(path)
        if target is None:
          target = arrays[path] = np.empty(declared[path].shape, np.float32)
        where = target if index is None else target[index]
        if where.shape != value.shape:
          raise ValueError(f"it would fill {where.shape} of {path} with {value.shape}")
        where[...] = value
    except ValueError as error:
      shapes = ", ".join(str(tuple(array.shape)) for array in theirs)
      raise ValueError(
        f"The tensor {row.theirs[0]} {shapes} does not fit the model of config.json: "
        f"{error}. Check that both files belong together."
      ) from error
  missing = sorted(set(declared) - set(arrays))
  assert not missing, f"the path table has no row for {missing}"
  return arrays


def to_theirs(
  rows: Iterable[Row], arrays: Mapping[str, np.ndarray]
) -> Iterator[tuple[str, np.ndarray]]:
  """(their name, array) one after another, from our arrays by path."""
  for row in rows:
    ours = [
      arrays[path] if index is None else arrays[path][index] for path, index in row.ours
    ]
    yield from zip(row.theirs, row.layout.theirs(ours), strict=True)


def heads_out(heads: int) -> Move:
  """A Linear whose outputs are heads."""
  return Move("(n h) d -> d n h", n=heads)


def heads_in(heads: int) -> Move:
  """A Linear whose inputs are heads."""
  return Move("d (n h) -> n h d", n=heads)


def head_bias(heads: int) -> Move:
  """A bias of heads."""
  return Move("(n h) -> n h", n=heads)


def projections(attention: object, ours: str, theirs: dict[str, str]) -> Iterator[Line]:
  """query, key, value and out as four Linears with their biases; `theirs` names them."""
  kv_heads = attention.kv_heads or attention.heads
  for name, heads in (
    ("query", attention.heads),
    ("key", kv_heads),
    ("value", kv_heads),
  ):
    yield f"{ours}/{name}/kernel", f"{theirs[name]}.weight", heads_out(heads)
    if attention.has_bias(name):
      yield f"{ours}/{name}/bias", f"{theirs[name]}.bias", head_bias(heads)
  out = heads_in(attention.heads)
  yield f"{ours}/out/kernel", f"{theirs['out']}.weight", out
  if attention.has_bias("out"):
    yield f"{ours}/out/bias", f"{theirs['out']}.bias", SAME


def fused_qkv(attention: object, ours: str, theirs: str, layout: str) -> Iterator[Line]:
  """query, key and value of equally many heads in one tensor and its bias.

  layout: its outputs, c the three of them: "c n h" one after another, "n c h" head by
  head. The kernel is a Linear.
  """
  paths = [f"{ours}/{name}" for name in ("query", "key", "value")]
  third = (1, "c n h d -> d (c n) h")
  sizes = dict(n=attention.heads, h=attention.head_dim)
  kernel = Fused(f"({layout}) d -> c n h d", third, third, third, **sizes)
  yield tuple(f"{path}/kernel" for path in paths), f"{theirs}.weight", kernel
  if attention.bias:
    third = (1, "c n h -> (c n) h")
    bias = Fused(f"({layout}) -> c n h", third, third, third, **sizes)
    yield tuple(f"{path}/bias" for path in paths), f"{theirs}.bias", bias


def norm(ours: str, theirs: str, *, bias: bool = False) -> Iterator[Line]:
  """A norm's scale and bias."""
  yield f"{ours}/scale", f"{theirs}.weight", SAME
  if bias:
    yield f"{ours}/bias", f"{theirs}.bias", SAME


def dense(ours: str, theirs: str, *, bias: bool = False) -> Iterator[Line]:
  """A Linear [out, in] and its bias."""
  yield f"{ours}/kernel", f"{theirs}.weight", LINEAR
  if bias:
    yield f"{ours}/bias", f"{theirs}.bias", SAME


def experts(ours: str, theirs: str, moe: object) -> Line:
  """A Linear of every expert, stored one by one; `theirs` has {} for the number."""
  names = tuple(f"{theirs.format(number)}.weight" for number in range(moe.experts))
  return f"{ours}/kernel", names, Each("f d -> d f")

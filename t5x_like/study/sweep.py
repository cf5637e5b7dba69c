"""Axes: values that every arm of a study is tried at.

You are in: t5x_like/study, pure part (standard library only). Upstream: a gin file.
Downstream: study.py takes the product of the axes. An axis has `points()`; a new kind is
a frozen dataclass with that method.
"""

from __future__ import annotations

import dataclasses
import itertools
import random
from collections.abc import Iterable

from t5x_like.study import ranges

axis = dataclasses.dataclass(frozen=True, kw_only=True)


@dataclasses.dataclass(frozen=True)
class Point:
  """labels: what tables show, (name, value) pairs. bindings: what it adds to a run.

  seeds: others than the study's. held_out: laws are not fitted to it but checked on it.
  length: ("flops", 1e15) or ("tokens_per_param", 20.0): what the number of steps is
  solved for.
  """

  labels: tuple[tuple[str, object], ...] = ()
  bindings: tuple[str, ...] = ()
  seeds: tuple[int, ...] = ()
  held_out: bool = False
  length: tuple[str, float] | None = None

  def __add__(self, other: Point) -> Point:
    return Point(
      self.labels + other.labels,
      self.bindings + other.bindings,
      other.seeds or self.seeds,
      self.held_out or other.held_out,
      other.length or self.length,
    )


def product(axes: tuple[object, ...]) -> tuple[Point, ...]:
  """Every combination of one point of each axis."""
  points = tuple(
    sum(combination, Point())
    for combination in itertools.product(*(axis.points() for axis in axes))
  )
  names = [name for name, _ in points[0].labels] if points else []
  if len(set(names)) < len(names):
    raise ValueError(f"Two axes set the same name: {names}. Put it into one axis.")
  return points


@axis
class Grid:
  """Every combination: {"BATCH_SIZE": [8, 16], "Z_LOSS": [0.0, 1e-4]}."""

  of: dict[str, list]

  def points(self) -> tuple[Point, ...]:
    """The points, the last name fastest."""
    _check(self, self.of)
    rows = itertools.product(*self.of.values())
    return tuple(point(self.of, row) for row in rows)


@axis
class Zip:
  """Values side by side: {"DIM": [64, 128], "LAYERS": [2, 4]} has two points."""

  of: dict[str, list]

  def points(self) -> tuple[Point, ...]:
    """The points, in order."""
    _check(self, self.of)
    lengths = {name: len(values) for name, values in self.of.items()}
    if len(set(lengths.values())) > 1:
      raise ValueError(f"Zip.of={lengths} values; give every name as many.")
    return tuple(point(self.of, row) for row in zip(*self.of.values(), strict=True))


@axis
class List:
  """Named sets of bindings: {"small": ["DIM = 64", "LAYERS = 2"], "large": [...]}."""

  name: str
  of: dict[str, list]

  def points(self) -> tuple[Point, ...]:
    """The points, in order."""
    _check(self, self.of, empty=True)
    return tuple(Point(((self.name, key),), tuple(v)) for key, v in self.of.items())


@axis
class Ladder:
  """Sizes of a model, smallest first, as a List: {"small": ["DIM = 64"], "large": [...]}.

  seeds: of sizes that are to have others than the study's, {"small": (0, 1, 2, 3)}.
  held_out: sizes that run last, and which laws fitted to the others are checked on.
  tokens_per_param: solves the number of steps of each; None leaves it to the bindings.
  """

  of: dict[str, list]
  name: str = "size"
  tokens_per_param: float | None = None
  seeds: dict[str, tuple[int, ...]] = dataclasses.field(default_factory=dict)
  held_out: tuple[str, ...] = ()

  def points(self) -> tuple[Point, ...]:
    """The points, in order."""
    _check(self, self.of, empty=True)
    unknown = sorted({*self.seeds, *self.held_out} - set(self.of))
    if unknown:
      raise ValueError(
        f"Ladder.seeds and held_out name {unknown}; sizes are {list(self.of)}."
      )
    length = self.tokens_per_param and ("tokens_per_param", self.tokens_per_param)
    return tuple(
      Point(
        ((self.name, size),),
        tuple(bindings),
        tuple(self.seeds.get(size, ())),
        size in self.held_out,
        length,
      )
      for size, bindings in self.of.items()
    )


@axis
class Isoflop:
  """Every size at every budget of FLOPs, for as many steps as it pays: [1e15, 1e16] by
  {"small": ["DIM = 64"], "large": [...]}. seeds: those of budgets, {1e15: (0, 1, 2)}."""

  budgets: tuple[float, ...]
  of: dict[str, list]
  name: str = "size"
  seeds: dict[float, tuple[int, ...]] = dataclasses.field(default_factory=dict)

  def points(self) -> tuple[Point, ...]:
    """The points, the sizes fastest."""
    _check(self, self.of, empty=True)
    if not self.budgets or min(self.budgets) <= 0:
      raise ValueError(f"Isoflop.budgets={self.budgets} must be FLOPs above 0.")
    return tuple(
      Point(
        (("budget", budget), (self.name, size)),
        tuple(bindings),
        tuple(self.seeds.get(budget, ())),
        length=("flops", budget),
      )
      for budget in self.budgets
      for size, bindings in self.of.items()
    )


@axis
class LogRange:
  """`count` values of one name, each as many times the one before; ends included."""

  name: str
  low: float
  high: float
  count: int
  whole: bool = False

  def points(self) -> tuple[Point, ...]:
    """The points, ascending; whole numbers are rounded."""
    if not (0 < self.low < self.high and self.count > 1):
      raise ValueError(
        f"LogRange {self.name}: low={self.low}, high={self.high}, count={self.count} "
        "must satisfy 0 < low < high and count > 1."
      )
    ratio = (self.high / self.low) ** (1 / (self.count - 1))
    values = [float(f"{self.low * ratio**i:.6g}") for i in range(self.count)]
    if self.whole:
      values = list(dict.fromkeys(round(value) for value in values))
    return tuple(point((self.name,), (value,)) for value in values)


@axis
class Random:
  """`count` draws: {"learning_rate": ("log", 1e-4, 1e-2), "BATCH_SIZE": ("choice", 8, 16),
  "DIM": ("int", 64, 256), "DROPOUT_RATE": ("uniform", 0.0, 0.2)}."""

  of: dict[str, tuple]
  count: int
  seed: int = 0

  def points(self) -> tuple[Point, ...]:
    """The points, the same for the same seed."""
    ranges.check("Random.of", self.of)
    generator = random.Random(self.seed)
    rows = [
      [ranges.at(how, generator.random()) for how in self.of.values()]
      for _ in range(self.count)
    ]
    return tuple(point(self.of, row) for row in rows)


def _check(owner: object, of: dict, *, empty: bool = False) -> None:
  wrong = {name: v for name, v in of.items() if isinstance(v, str) or not (v or empty)}
  if wrong or not of:
    raise ValueError(
      f"{type(owner).__name__}.of={wrong or of} must map names to lists of values."
    )


def point(names: Iterable[str], values: Iterable[object]) -> Point:
  """The point that binds each name to its value."""
  labels = tuple(zip(names, values, strict=True))
  return Point(labels, tuple(f"{name} = {_gin(value)}" for name, value in labels))


def _gin(value: object) -> str:
  """A value as gin text; strings that begin with @ or % are references and macros."""
  if isinstance(value, str) and value[:1] in ("@", "%"):
    return value
  return repr(value)

"""Packing: many short examples into fixed rows, without letting them see each other.

You are in: t5x_like/data, pure. Upstream: examples in stream order. Downstream:
layouts.py makes a row of each group. You may change how rows are filled; every example
must come out exactly once, in a row where all its features fit.
"""

from __future__ import annotations

import dataclasses

Sizes = dict[str, int]


@dataclasses.dataclass
class OpenRows:
  """The rows of one batch while they are filled, first fit.

  A batch closes at the first example that fits nowhere; that example opens the next
  batch. So the state between batches is one number: the next example.
  """

  rows: int
  capacity: Sizes

  def __post_init__(self):
    self.groups: list[list] = [[] for _ in range(self.rows)]
    self.free = [dict(self.capacity) for _ in range(self.rows)]

  def add(self, example: object, sizes: Sizes) -> bool:
    """Puts the example into the first row it fits; False when there is none.

    Raises ValueError when it is larger than an empty row.
    """
    for feature, size in sizes.items():
      if size > self.capacity[feature]:
        raise ValueError(
          f"An example has {size} {feature} tokens, a row {self.capacity[feature]}. "
          "Raise TASK_FEATURE_LENGTHS, or trim in the objective."
        )
    for group, free in zip(self.groups, self.free, strict=True):
      if all(size <= free[feature] for feature, size in sizes.items()):
        group.append(example)
        for feature, size in sizes.items():
          free[feature] -= size
        return True
    return False

  def efficiency(self) -> float:
    """Share of all positions that hold a token."""
    total = self.rows * sum(self.capacity.values())
    return 1.0 - sum(sum(free.values()) for free in self.free) / total

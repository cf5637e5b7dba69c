"""Rows of the zoo: what is known of a model besides its architecture.

You are in: models. `Family` says several sizes of one line of models at once. The rows
themselves are in zoo.py and, by kind, in the zoo_*.py files beside it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

ENCODER_DECODER = "encoder-decoder"
CAUSAL_DECODER = "causal decoder"
ENCODER = "encoder"
PREFIX_DECODER = "prefix decoder"

ALL = "every parameter"
TIED = "every parameter, the table that embedding and head share once"

COUNTED = "published parameter count"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
  """One model: `build(**arguments)` is its spec.

  parameters: the published count, None where nobody published one; counted: what that
  number includes. paper: an arXiv number or a report's name. reference: what the
  numbers of the model are compared with.
  """

  name: str
  family: str
  kind: str
  paper: str
  year: int
  build: Callable
  arguments: dict
  parameters: int | None
  counted: str
  reference: str = COUNTED

  @property
  def gin_file(self) -> str:
    """Path of the equivalent configuration, relative to the repository."""
    return f"gin_configs/models/{self.name}.gin"

  def spec(self) -> object:
    """The architecture; this allocates nothing, whatever its size."""
    return self.build(**self.arguments)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Family:
  """Sizes of one line of models: name -> (published parameter count, arguments)."""

  name: str
  kind: str
  paper: str
  year: int
  build: Callable
  counted: str
  sizes: dict[str, tuple[int | None, dict]]
  reference: str = COUNTED

  def rows(self) -> list[Row]:
    """One row a size."""
    return [
      Row(
        name=f"{self.name}/{size}",
        family=self.name,
        kind=self.kind,
        paper=self.paper,
        year=self.year,
        build=self.build,
        arguments=arguments,
        parameters=parameters,
        counted=self.counted,
        reference=self.reference,
      )
      for size, (parameters, arguments) in self.sizes.items()
    ]

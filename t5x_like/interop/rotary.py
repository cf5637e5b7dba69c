"""Rotary positions of whole heads or parts of them, as config.json says them.

You are in: t5x_like/interop, pure part. transformers 5 says base and part in
`rope_parameters`, earlier versions in attributes whose names are the class's own.
"""

from __future__ import annotations

import math

from t5x_like.interop.attributes import Attributes


def rotated(
  attributes: Attributes,
  *,
  default: float,
  base: str = "rope_theta",
  part: str = "partial_rotary_factor",
) -> tuple[float, float]:
  """(base, part of a head that is rotated); default: the part where nothing says it.

  base, part: the class's own names of both.

  Raises:
    ValueError: for scaled positions.
  """
  old_base = attributes.take(base, "rope_theta", default=10_000.0)
  old_part = attributes.take(part, "partial_rotary_factor", default=default)
  new = dict(attributes.take("rope_parameters", "rope_scaling", default={}))
  found = new.pop("rope_theta", old_base), new.pop("partial_rotary_factor", old_part)
  left = {key: value for key, value in new.items() if value not in (None, "default")}
  if left:
    raise ValueError(
      f"config.json: rope_parameters: {left} changes positions, and is not known here."
    )
  return float(found[0]), found[1]


def whole(attributes: Attributes) -> float:
  """The base, where heads are rotated whole.

  Raises:
    ValueError: for scaled positions, and parts of heads.
  """
  base, part = rotated(attributes, default=1.0)
  if part != 1.0:
    raise ValueError(
      f"config.json: partial_rotary_factor={part} changes what the model computes, and "
      "ours computes partial_rotary_factor=1.0 alone. Such a model cannot be imported."
    )
  return base


def part_of(head_dim: int, dims: int) -> float:
  """The part of a head that is rotated, such that int(head_dim * part), which is what
  classes rotate, is dims: 44 * (30 / 44) is a little less than 30.

  >>> part_of(96, 24)
  0.25
  >>> int(44 * (30 / 44)), int(44 * part_of(44, 30))
  (29, 30)
  """
  part = dims / head_dim
  return part if int(head_dim * part) == dims else math.nextafter(part, 1.0)


def written(base: float, part: float = 1.0) -> dict:
  """Both spellings."""
  parameters = {"rope_type": "default", "rope_theta": base}
  return {
    "rope_theta": base,
    "partial_rotary_factor": part,
    "rope_parameters": parameters | {"partial_rotary_factor": part},
  }

"""Rotary positions of a part of each head, as config.json says them.

You are in: t5x_like/interop, pure part. transformers 5 says base and part in
`rope_parameters`, earlier versions in attributes whose names are the class's own.
"""

from __future__ import annotations

from t5x_like.interop.attributes import Attributes

BASE = 10_000.0


def rotated(
  attributes: Attributes, *, default: float, base: str = "rope_theta", part: str
) -> float:
  """The part of a head that is rotated; default: where nothing says it.

  base, part: the class's own names of both.

  Raises:
    ValueError: for another base than 10,000, and for scaled positions.
  """
  old = attributes.take(part, "partial_rotary_factor", default=default)
  old_base = attributes.take(base, "rope_theta", default=BASE)
  new = dict(attributes.take("rope_parameters", "rope_scaling", default={}))
  found = new.pop("partial_rotary_factor", old)
  left = {key: value for key, value in new.items() if value not in (None, "default")}
  if left.pop("rope_theta", old_base) != BASE or left:
    raise ValueError(
      f"config.json: positions with the base {old_base} and {new} change what the model "
      f"computes; ours has the base {BASE} and no scaling."
    )
  return found


def written(dims: int, head_dim: int) -> dict:
  """Both spellings of rotary positions in `dims` of `head_dim` dimensions."""
  part = dims / head_dim
  parameters = {"rope_type": "default", "rope_theta": BASE}
  return {
    "rope_theta": BASE,
    "partial_rotary_factor": part,
    "rope_parameters": parameters | {"partial_rotary_factor": part},
  }

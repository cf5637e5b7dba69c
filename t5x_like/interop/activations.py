"""Names of activations: transformers' and ours.

You are in: t5x_like/interop, pure part.
"""

from __future__ import annotations

from t5x_like.interop.attributes import Attributes

THEIRS = {
  "gelu": "gelu",
  "gelu_tanh": "gelu_new",
  "relu": "relu",
  "relu_squared": "relu2",
  "silu": "silu",
}
# One function under several names: implementations that differ in rounding.
OURS = {theirs: ours for ours, theirs in THEIRS.items()} | {
  "gelu_fast": "gelu_tanh",
  "gelu_pytorch_tanh": "gelu_tanh",
  "swish": "silu",
}


def act(attributes: Attributes, name: str, *, default: str) -> str:
  """Our name of the activation that the attribute `name` says; default: theirs.

  Raises:
    ValueError: we have none of that name.
  """
  theirs = attributes.take(name, default=default)
  if theirs not in OURS:
    known = ", ".join(sorted(OURS))
    raise ValueError(
      f"config.json: {name}={theirs!r} is not known here; known: {known}."
    )
  return OURS[theirs]

"""Leaves: a pytree as {path: array}, the form in which checkpoints store and compare it.

You are in: t5x_like, pure part. Upstream: any pytree of arrays (`state.TrainState`).
Downstream: `checkpoint.py`. On disk there are only nested dicts of arrays, so a saved
state can be read without the Python classes it was made of.

A path joins keys with "/": `params/encoder/final_norm/scale`, `opt_state/0/mu/...`.
"""

from __future__ import annotations

from typing import Any

import jax

Tree = Any
Described = dict[str, tuple[tuple[int, ...], str]]  # path -> (shape, dtype name)
DEFAULT_LIMIT = 5
STORED = {"float32", "bfloat16"}  # dtypes in which a run may store its parameters


def named(tree: Tree) -> dict[str, Any]:
  """Leaves by path, in the order of `jax.tree.leaves`.

  Raises:
    ValueError: two leaves have the same path, or one's path continues another's.
  """
  paths = jax.tree_util.tree_flatten_with_path(tree)[0]
  leaves = {
    jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in paths
  }
  if len(leaves) != len(paths):
    raise ValueError(f"{len(paths) - len(leaves)} leaves of the tree share a path.")
  return leaves


def unnamed(leaves: dict[str, Any], like: Tree) -> Tree:
  """The inverse of `named`: a tree built like `like` from leaves by path."""
  structure = jax.tree.structure(like)
  return jax.tree.unflatten(structure, [leaves[path] for path in named(like)])


def nest(leaves: dict[str, Any]) -> dict:
  """{"a/b": 1} -> {"a": {"b": 1}}."""
  nested: dict = {}
  for path, leaf in leaves.items():
    *folders, name = path.split("/")
    inner = nested
    for folder in folders:
      inner = inner.setdefault(folder, {})
      if not isinstance(inner, dict):
        raise ValueError(f"Leaf {path!r} lies below another leaf. Rename one of them.")
    if name in inner:
      raise ValueError(
        f"Leaf {path!r} is also a branch of the tree. Rename one of them."
      )
    inner[name] = leaf
  return nested


def describe(leaves: dict[str, Any]) -> Described:
  """Shape and dtype of every leaf.

  Raises:
    ValueError: a leaf is not an array (a Python number has no fixed dtype).
  """
  for path, leaf in leaves.items():
    if not hasattr(leaf, "shape") or not hasattr(leaf, "dtype"):
      raise ValueError(
        f"Leaf {path!r} is a {type(leaf).__name__}; a checkpoint holds arrays only. "
        "Wrap it in jnp.asarray with the dtype it should have."
      )
  return {p: (tuple(leaf.shape), str(leaf.dtype)) for p, leaf in leaves.items()}


def differences(saved: Described, wanted: Described) -> list[str]:
  """One text per leaf that is misshapen, missing in `saved`, or extra in it."""
  texts = []
  for path, (shape, dtype) in wanted.items():
    if path not in saved:
      texts.append(f"{path}: missing in the checkpoint, wanted {_text(shape, dtype)}")
    elif saved[path] != (shape, dtype):
      texts.append(f"{path}: saved {_text(*saved[path])}, wanted {_text(shape, dtype)}")
  extra = [path for path in saved if path not in wanted]
  return texts + [f"{path}: extra in the checkpoint, not wanted" for path in extra]


def stored_as(saved: Described, wanted: dict[str, Any]) -> Described:
  """`saved` with the dtype of what is `wanted` where both are dtypes of parameters: a
  value that was stored in one of them may be read in the other."""

  def one(path: str, shape: tuple[int, ...], dtype: str) -> tuple:
    other = str(wanted[path].dtype) if path in wanted else dtype
    return shape, other if {dtype, other} <= STORED else dtype

  return {path: one(path, *description) for path, description in saved.items()}


def shortened(texts: list[str], *, limit: int = DEFAULT_LIMIT) -> str:
  """The texts in one line, the first `limit` of them in full."""
  more = f" (+{len(texts) - limit} more)" if len(texts) > limit else ""
  return "; ".join(texts[:limit]) + more


def _text(shape: tuple[int, ...], dtype: str) -> str:
  return f"{tuple(shape)} {dtype}"

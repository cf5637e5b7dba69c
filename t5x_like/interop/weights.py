"""Weights on disk: safetensors, in one file or in shards, one tensor at a time.

You are in: t5x_like/interop, the edge; the only module that knows safetensors. Other
files of weights (.bin, .pt, .ckpt, .h5, .msgpack) are not read: most are pickles, and
opening a pickle runs whatever program it holds.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import ml_dtypes
import numpy as np
import safetensors
import safetensors.numpy

from t5x_like.interop.attributes import read_json

WHOLE, INDEX = "model.safetensors", "model.safetensors.index.json"
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".h5", ".msgpack")
# Their names of the types that ours (float32) holds without loss.
FLOATS = {"F32": "float32", "BF16": "bfloat16", "F16": "float16"}
NUMPY = {"float32": np.float32, "bfloat16": ml_dtypes.bfloat16, "float16": np.float16}
SHARD = 5 * 10**9  # bytes of a file, as transformers


class Tensors(Mapping):
  """{name: float32 or 16-bit array} of a folder; each is read when it is asked for.

  prefix: what names begin with here even where a file omits it. unused: regular
  expressions of names that are not shown.

  Raises:
    ValueError: no safetensors, a shard is missing or broken, or a tensor's type is none
      of `FLOATS`.
  """

  def __init__(self, folder: Path, *, prefix: str = "", unused: tuple[str, ...] = ()):
    self._files = {path: _opened(path) for path in files(folder)}
    self._where: dict[str, tuple[Path, str]] = {}
    for path, file in self._files.items():
      for name in file.keys():
        if any(re.fullmatch(pattern, name) for pattern in unused):
          continue
        bare = prefix and not name.startswith(prefix) and not name.startswith("lm_head")
        known = prefix + name if bare else name
        # BERT's files of 2018 call a norm's factor and offset gamma and beta.
        known = re.sub(r"LayerNorm\.gamma$", "LayerNorm.weight", known)
        known = re.sub(r"LayerNorm\.beta$", "LayerNorm.bias", known)
        self._where[known] = path, name
    _check_index(folder, self._files)
    self.dtypes = {FLOATS[self._dtype(name)] for name in self._where}

  def __getitem__(self, name: str) -> np.ndarray:
    if name not in self._where:
      raise ValueError(
        f"The tensor {name} is not among those stored ({len(self)} of them). The files "
        "do not belong to this config.json, or are not complete."
      )
    path, stored = self._where[name]
    return self._files[path].get_tensor(stored)

  def __iter__(self) -> Iterator[str]:
    return iter(self._where)

  def __len__(self) -> int:
    return len(self._where)

  def _dtype(self, name: str) -> str:
    path, stored = self._where[name]
    found = self._files[path].get_slice(stored).get_dtype()
    if found not in FLOATS:
      raise ValueError(
        f"{path.name}: {name} is stored as {found}; weights must be one of "
        f"{', '.join(FLOATS)}. Quantized models cannot be imported."
      )
    return found


def files(folder: Path) -> list[Path]:
  """The safetensors of a folder: one file, or the shards that its index names."""
  index = folder / INDEX
  if index.is_file():
    names = sorted(set(read_json(index)["weight_map"].values()))
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
      raise ValueError(
        f"{folder} lacks {len(missing)} of {len(names)} shards that {INDEX} names: "
        f"{', '.join(missing[:5])}. Download them too."
      )
    return [folder / name for name in names]
  if (folder / WHOLE).is_file():
    return [folder / WHOLE]
  pickles = sorted(p.name for p in folder.iterdir() if p.suffix in PICKLES)
  if pickles:
    raise ValueError(
      f"{folder} holds {pickles[0]} but no {WHOLE}. Such files are not read: opening a "
      "pickle runs the program in it. Use a revision with safetensors, or load it with "
      "transformers where you trust it and save_pretrained()."
    )
  raise ValueError(f"{folder} holds neither {WHOLE} nor {INDEX}.")


def _opened(path: Path):
  try:
    return safetensors.safe_open(path, framework="numpy")
  except (safetensors.SafetensorError, OSError) as error:
    raise ValueError(f"{path} is no complete safetensors file: {error}") from error


def _check_index(folder: Path, opened: dict) -> None:
  """ValueError for tensors that the index promises and their shard does not hold."""
  if not (folder / INDEX).is_file():
    return
  for name, file in read_json(folder / INDEX)["weight_map"].items():
    if name not in opened[folder / file].keys():
      raise ValueError(f"{file} does not hold {name}, which {INDEX} says is in it.")


class Writer:
  """Writes tensors in the order in which they are added, in files of at most `limit`
  bytes; `close` names them and writes the index."""

  def __init__(self, folder: Path, *, dtype: str, limit: int = SHARD):
    self.folder, self.dtype, self.limit = folder, NUMPY[dtype], limit
    self.shards: list[list[str]] = []
    self.total = self._size = 0
    self._open: dict[str, np.ndarray] = {}

  def add(self, name: str, array: np.ndarray) -> None:
    """A copy of the array, rounded to nearest even where the type is smaller."""
    array = np.ascontiguousarray(array, dtype=self.dtype)
    if self._open and self._size + array.nbytes > self.limit:
      self._flush()
    self._open[name] = array
    self._size += array.nbytes
    self.total += array.nbytes

  def _flush(self) -> None:
    self.shards.append(list(self._open))
    path = self.folder / f".shard-{len(self.shards)}"
    safetensors.numpy.save_file(self._open, path, metadata={"format": "pt"})
    self._open, self._size = {}, 0

  def close(self) -> None:
    """The last shard, final names, and the index if there are several."""
    self._flush()
    count = len(self.shards)
    names = [f"model-{i:05}-of-{count:05}.safetensors" for i in range(1, count + 1)]
    names = names if count > 1 else [WHOLE]
    for number, name in enumerate(names, start=1):
      os.replace(self.folder / f".shard-{number}", self.folder / name)
    if count == 1:
      return
    weight_map = {
      tensor: name
      for name, shard in zip(names, self.shards, strict=True)
      for tensor in shard
    }
    index = {"metadata": {"total_size": self.total}, "weight_map": weight_map}
    text = json.dumps(index, indent=2, sort_keys=True) + "\n"
    (self.folder / INDEX).write_text(text, encoding="utf-8")

"""Loading vocabulary files, once per process, with T5's sentinels appended.

You are in: t5x_like/data, the edge to the disk. Downstream: vocab.py. Nothing here is a
field of a vocabulary, so vocabularies stay small values that pickle.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from t5x_like.data.artifacts import file_digest

if TYPE_CHECKING:
  import sentencepiece
  import tokenizers


@functools.lru_cache(maxsize=8)
def load_sentencepiece(path: str, extra: int) -> sentencepiece.SentencePieceProcessor:
  """Loads a model with its sentinels appended.

  A serialized protocol buffer followed by more elements of a repeated field is the same
  message with those elements appended, so no protocol buffer library is needed.
  """
  import sentencepiece

  model = _file(path).read_bytes()
  if extra and b"<extra_id_0>" in model:
    raise _twice(path, extra)
  model += b"".join(_user_piece(f"▁<extra_id_{n}>") for n in reversed(range(extra)))
  try:
    processor = sentencepiece.SentencePieceProcessor(model_proto=model)
  except Exception as error:
    raise ValueError(
      f"{path} is not a SentencePiece model ({error}). Give the file that "
      "sentencepiece's trainer writes, usually named *.model."
    ) from error
  if processor.eos_id() < 0:
    raise ValueError(
      f"The SentencePiece model {path} has no end-of-text piece, which every text needs. "
      "Train it with eos_id=1 (and pad_id=0, unk_id=2, bos_id=-1, as T5 does)."
    )
  return processor


def _user_piece(text: str) -> bytes:
  """A piece of SentencePiece's ModelProto: text (1), score 0 (2), user defined (3)."""
  body = _field(text.encode()) + b"\x15" + struct.pack("<f", 0.0) + b"\x18\x04"
  return _field(body)


def _field(data: bytes) -> bytes:
  """Field 1 with a length, below 128 in every piece that we write."""
  return b"\x0a" + bytes([len(data)]) + data


@functools.lru_cache(maxsize=8)
def load_tokenizer(
  path: str, extra: int
) -> tuple[tokenizers.Tokenizer, dict[str, int]]:
  """The tokenizer and its tokens."""
  import tokenizers

  try:
    tokenizer = tokenizers.Tokenizer.from_file(str(_file(path)))
  except Exception as error:  # The library raises the bare class.
    if isinstance(error, ValueError):
      raise
    raise ValueError(
      f"{path} is not a tokenizer.json of Hugging Face tokenizers ({error})."
    ) from error
  tokenizer.no_padding()
  tokenizer.no_truncation()
  if extra and tokenizer.token_to_id("<extra_id_0>") is not None:
    raise _twice(path, extra)
  added = [f"<extra_id_{n}>" for n in reversed(range(extra))]
  tokenizer.add_special_tokens(
    [tokenizers.AddedToken(name, normalized=False) for name in added]
  )
  return tokenizer, tokenizer.get_vocab(with_added_tokens=True)


def counting_down(
  find: Callable[[str], int | None], missing: int | None
) -> tuple[int, int]:
  """(id of `<extra_id_0>`, how many follow it with descending ids); (-1, 0) for none."""
  for mark in ("▁<extra_id_{}>", "<extra_id_{}>"):
    first = find(mark.format(0))
    if first != missing:
      count = 1
      while find(mark.format(count)) == first - count:
        count += 1
      return first, count
  return -1, 0


def _file(path: str) -> Path:
  file = Path(path).expanduser()
  if not file.is_file():
    raise ValueError(f"The vocabulary file {path} does not exist (looked at {file}).")
  return file


@functools.lru_cache(maxsize=8)
def vocabulary_digest(path: str) -> str:
  """sha256 of the file."""
  return file_digest(_file(path))


def _twice(path: str, extra: int) -> ValueError:
  return ValueError(
    f"{path} has sentinels of its own (<extra_id_0>), and extra_ids={extra} would add "
    "them again. Set extra_ids=0."
  )

"""Files that are tables of records: Parquet and ArrayRecord, a few records at a time.

You are in: t5x_like/data, the edge to the disk. Downstream: sources.py. A file that
cannot be read to its end loses its rest, which is counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from t5x_like.data.records import Report

if TYPE_CHECKING:
  import pyarrow

_BATCH = 64  # Records in memory at once.
_TEXT_TYPES = ("string", "large_string", "binary", "large_binary")  # As Arrow prints.


def parquet_rows(
  path: Path, columns: Sequence[str], *, report: Report
) -> Iterator[tuple[str, dict]]:
  """Yields ("file:row", {column: bytes or None}).

  Raises:
    ValueError: a column is not there or holds no text.
  """
  import pyarrow.parquet

  number = 0
  try:
    with pyarrow.parquet.ParquetFile(path) as table:
      _check_columns(table.schema_arrow, columns, path)
      for batch in table.iter_batches(_BATCH, columns=list(columns)):
        for row in _rows(batch):
          number += 1
          yield f"{path}:{number}", row
  except (pyarrow.ArrowInvalid, OSError) as error:
    if getattr(error, "errno", None):  # The disk failed, not the file.
      raise
    report.skip("truncated_file", f"{path}:{number + 1}")


def array_records(path: Path, *, report: Report) -> Iterator[tuple[str, bytes]]:
  """Yields ("file:record", its bytes)."""
  from array_record.python.array_record_module import ArrayRecordReader

  number = 0
  try:
    reader = ArrayRecordReader(str(path))
    total = reader.num_records()
    for start in range(0, total, _BATCH):
      for raw in reader.read(start, min(start + _BATCH, total)):
        number += 1
        yield f"{path}:{number}", raw
    reader.close()
  except (RuntimeError, ValueError, IndexError):
    report.skip("truncated_file", f"{path}:{number + 1}")


def example_features(raw: bytes, where: str, *, report: Report) -> dict | None:
  """The features of a serialized tf.train.Example: a value, or a list of several."""
  from google.protobuf.message import DecodeError
  from tensorflow_datasets.proto import tf_example_pb2

  try:
    features = tf_example_pb2.Example.FromString(raw).features.feature
  except DecodeError:
    return report.skip("wrong_type", where)
  values = {}
  for name, feature in features.items():
    several = list(getattr(feature, feature.WhichOneof("kind") or "bytes_list").value)
    values[name] = several[0] if len(several) == 1 else several
  return values


def _check_columns(schema: pyarrow.Schema, columns: Sequence[str], path: Path) -> None:
  import pyarrow

  for name in columns:
    if name not in schema.names:
      raise ValueError(
        f"{path} has no column {name!r}. Its columns: {', '.join(schema.names)}. "
        "Set Parquet.column."
      )
    kind = schema.field(name).type
    if pyarrow.types.is_dictionary(kind):
      kind = kind.value_type
    if str(kind) not in _TEXT_TYPES:
      raise ValueError(
        f"Column {name!r} of {path} holds {kind}, not text. Set Parquet.column to one "
        "that holds strings."
      )


def _rows(batch: pyarrow.RecordBatch) -> Iterator[dict]:
  """Rows with values as bytes: Arrow checks UTF-8 by column, we count it by record."""
  import pyarrow

  columns = []
  for column in batch.columns:
    if pyarrow.types.is_dictionary(column.type):
      column = column.dictionary_decode()
    columns.append(column.cast(pyarrow.large_binary()).to_pylist())
  for values in zip(*columns, strict=True):
    yield dict(zip(batch.schema.names, values, strict=True))

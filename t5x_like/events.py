"""Events: scalars in the files that TensorBoard reads, written without TensorFlow.

You are in: t5x_like, the edge. Upstream: `ledger.py`. The format is TFRecord frames of
`Event` messages (tensorflow/core/util/event.proto); scalars need five of its fields, so
they are encoded here. The usual library, tensorboardX, imports PyTorch where it is
installed: 2 s and 200 MB in every training run.
"""

from __future__ import annotations

import functools
import os
import socket
import struct
import time
from pathlib import Path

VERSION = b"brain.Event:2"
SESSION_START = 1
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5  # protocol buffer wire types


class EventFile:
  """One event file of scalars in `directory`; a new one for every start of a run."""

  def __init__(self, directory: Path, *, first_step: int | None = None):
    """first_step: TensorBoard forgets what earlier files say of this step and later."""
    directory.mkdir(parents=True, exist_ok=True)
    now = time.time_ns()  # whole nanoseconds: readers take the files in this order
    name = (
      f"events.out.tfevents.{now // 10**9}.{now % 10**9:09d}.{socket.gethostname()}"
    )
    self._file = open(directory / f"{name}.{os.getpid()}", "xb")
    self._write(_field(3, BYTES, VERSION))
    if first_step is not None:
      start = _field(7, BYTES, _field(1, VARINT, SESSION_START))
      self._write(_field(2, VARINT, first_step) + start)

  def write(self, step: int, scalars: dict[str, float]) -> None:
    """One event with all scalars of a step; handed to the kernel on return."""
    values = b"".join(
      _field(1, BYTES, _field(1, BYTES, tag.encode()) + _field(2, FIXED32, value))
      for tag, value in scalars.items()
    )
    self._write(_field(2, VARINT, step) + _field(5, BYTES, values))

  def close(self) -> None:
    self._file.close()

  def _write(self, fields: bytes) -> None:
    event = _field(1, FIXED64, time.time()) + fields
    length = struct.pack("<Q", len(event))
    self._file.write(length + _checksum(length) + event + _checksum(event))
    self._file.flush()


def _field(number: int, kind: int, value: float | bytes) -> bytes:
  tag = bytes([number << 3 | kind])
  if kind == VARINT:
    return tag + _varint(value)
  if kind == BYTES:
    return tag + _varint(len(value)) + value
  return tag + struct.pack("<d" if kind == FIXED64 else "<f", value)


def _varint(number: int) -> bytes:
  digits = bytearray()
  while number > 127:
    digits.append(number & 127 | 128)
    number >>= 7
  return bytes(digits) + bytes([number])


def _checksum(data: bytes) -> bytes:
  """CRC-32C, rotated and shifted as TFRecord does (tensorflow/core/lib/hash/crc32c.h)."""
  table, crc = _table(), 0xFFFFFFFF
  for byte in data:
    crc = table[(crc ^ byte) & 255] ^ (crc >> 8)
  crc ^= 0xFFFFFFFF
  return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


@functools.cache
def _table() -> list[int]:
  table = []
  for byte in range(256):
    for _ in range(8):
      byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
    table.append(byte)
  return table

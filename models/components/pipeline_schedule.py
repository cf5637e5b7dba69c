"""Pipeline schedule: who computes what in which tick, one forward and one backward in turn.

You are in: models/components, pure, below alternating.py. Narayanan et al. 2021,
arXiv:2104.04473, section 2.2, for stages that take a tick all at once. Numbers may be
arrays: one for each stage.

Shapes: S stages, M microbatches, V pieces of a stage, Q slots.
"""

from __future__ import annotations

import dataclasses

import jax

Number = int | jax.Array


@dataclasses.dataclass(frozen=True)
class Work:
  """What a stage does in a tick, one way. busy: whether it does; turn: which of its
  pieces; slot: where the input waits, from the forward pass to the backward pass."""

  busy: Number
  turn: Number
  microbatch: Number
  slot: Number


@dataclasses.dataclass(frozen=True)
class Schedule:
  """Who computes what in which tick. Microbatches go round V times in groups of S.

  Stage s computes microbatch g S + i with its piece v forward in tick g S V + v S + i + s,
  and backward in `lead` + g S V + (V - 1 - v) S + i + S - 1 - s.
  """

  stages: int
  microbatches: int
  repeats: int = 1

  @property
  def lead(self) -> int:
    """Ticks before the first loss, and so before the first backward pass."""
    return self.stages * self.repeats - 1

  @property
  def slots(self) -> int:
    """Q: inputs that wait in a stage at one time, at most."""
    return 2 * self.lead + 1

  @property
  def ticks(self) -> int:
    """From the first forward pass to the last backward pass."""
    return self.microbatches * self.repeats + self.stages - 1 + self.lead

  def forward(self, tick: Number, stage: Number) -> Work:
    number = tick - stage
    return self._work(number, number // self.stages % self.repeats)

  def backward(self, tick: Number, stage: Number) -> Work:
    number = tick - self.lead - (self.stages - 1 - stage)
    turn = self.repeats - 1 - number // self.stages % self.repeats
    return self._work(number, turn)

  def _work(self, number: Number, turn: Number) -> Work:
    """The `number`-th of the M V works of a stage."""
    round_, at = number // (self.stages * self.repeats), number % self.stages
    entered = (round_ * self.repeats + turn) * self.stages + at
    return Work(
      busy=(number >= 0) & (number < self.microbatches * self.repeats),
      turn=turn,
      microbatch=round_ * self.stages + at,
      slot=entered % self.slots,
    )

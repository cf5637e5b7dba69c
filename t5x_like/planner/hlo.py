"""HLO: the collectives and matrix products of a partitioned program, from its text.

You are in: t5x_like/planner, pure (strings). Upstream: program.py has XLA write the
program right after it was partitioned, when every collective stands for itself. A loop's
instructions count as often as the loop turns.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import re
from collections import Counter
from collections.abc import Iterator

KINDS = (
  "all-reduce",
  "all-gather",
  "reduce-scatter",
  "all-to-all",
  "collective-permute",
)
WIDTHS = {"pred": 1, "bf16": 2, "f16": 2, "f32": 4, "f64": 8, "c64": 8}
# What only renames or reshapes a value on its way to whoever uses it.
PASSES = ("bitcast", "convert", "copy", "reshape", "transpose", "get-tuple-element")
LINE = re.compile(r"^\s*(ROOT )?%(\S+) = (\(.*?\)|\S+) ([\w-]+)\((.*)$")
MESH = re.compile(
  r"replica_groups=mesh\[([^\]]*)\]"
  r"(?:, device_ids=\(\[([\d,]+)\]T\(([\d,]+)\)\))? \{([^}]*)\}"
)
SHAPE = re.compile(r"([a-z]\w*)\[([\d,]*)\]")


@dataclasses.dataclass(frozen=True)
class Instruction:
  """One line: %name = shape opcode(operands), attributes."""

  name: str
  shape: str
  opcode: str
  operands: tuple[str, ...]
  text: str
  root: bool

  @property
  def bytes(self) -> int:
    """Of what it gives, on one device."""
    return sum(width(kind) * math.prod(dims) for kind, dims in shapes(self.shape))


@dataclasses.dataclass(frozen=True)
class Collective:
  """kind: one of KINDS. group: devices that take part together. bytes: what the whole
  of it is on one device, the larger of what goes in and comes out. times: in a step.
  pairs: who sends to whom, of a collective-permute; others take no part."""

  kind: str
  group: tuple[int, ...]
  bytes: int
  times: float
  source: str
  pairs: tuple[tuple[int, int], ...] = ()


class Module:
  """A program: computations by name."""

  def __init__(self, text: str):
    self.computations: dict[str, dict[str, Instruction]] = {}
    self.entry = ""
    current: dict[str, Instruction] = {}
    for line in text.splitlines():
      if line.endswith("{") and "->" in line:
        name = line.split("%", 1)[1].split(" ")[0]
        current = self.computations[name] = {}
        if line.startswith("ENTRY"):
          self.entry = name
      elif found := LINE.match(line):
        root, name, shape, opcode, rest = found.groups()
        current[name] = Instruction(
          name, shape, opcode, _operands(rest), rest, root is not None
        )
    if not self.entry:
      raise ValueError("the text holds no HLO program: no line begins with ENTRY.")
    for computation in self.computations.values():
      computation.update(_parts(computation))

  def walk(
    self, name: str = "", times: float = 1, *, open_turns: float = 1
  ) -> Iterator[tuple[str, Instruction, float]]:
    """(computation, instruction, how often it runs), from the entry on. Loops whose
    length depends on data turn `open_turns` times."""
    name = name or self.entry
    inside = functools.partial(self.walk, open_turns=open_turns)
    for one in self.computations[name].values():
      yield name, one, times
      if one.opcode == "while":
        turns = self.turns(name, one)
        yield from inside(_called(one, "body"), times * (turns or open_turns))
      elif one.opcode == "call":
        yield from inside(_called(one, "to_apply"), times)
      elif one.opcode == "conditional":
        branches = re.findall(r"%([\w.-]+)", one.text.split("branch_computations=")[-1])
        for branch in branches:
          if branch in self.computations:
            yield from inside(branch, times)

  def turns(self, name: str, loop: Instruction) -> int | None:
    """How often a loop from 0 turns; None where data decides."""
    condition = self.computations[_called(loop, "condition")]
    root = next(one for one in condition.values() if one.root)
    if root.opcode != "compare" or "direction=LT" not in root.text:
      return None
    limit = condition[root.operands[1]]
    if limit.opcode == "get-tuple-element":
      at = int(re.search(r"index=(\d+)", limit.text).group(1))
      start = self.computations[name].get(loop.operands[0])
      if start is None or start.opcode != "tuple":
        return None
      limit = self.computations[name].get(start.operands[at], limit)
    found = re.match(r"(\d+)\)", limit.text) if limit.opcode == "constant" else None
    return int(found.group(1)) if found else None

  @functools.cached_property
  def users(self) -> dict[tuple[str, str], list[Instruction]]:
    """Who reads a value: (computation, name) -> instructions."""
    found: dict[tuple[str, str], list[Instruction]] = {}
    for name, computation in self.computations.items():
      for one in computation.values():
        for operand in one.operands:
          found.setdefault((name, operand), []).append(one)
    return found

  def scattered(self, name: str, one: Instruction) -> bool:
    """Whether a sum over devices is cut up at once: TPUs and GPUs then scatter it."""
    open_, cuts = [one], 0
    while open_:
      value = open_.pop()
      for user in self.users.get((name, value.name), []):
        if user.opcode == "dynamic-slice" and user.operands[0] == value.name:
          cuts += 1
        elif user.opcode in PASSES:
          open_.append(user)
        else:
          return False
    return cuts > 0

  def merged(self, name: str) -> set[str]:
    """Sums over devices of a computation that are added to another such sum, and to
    nothing else: TPUs and GPUs add first and sum over devices once (XLA's
    all-reduce-reassociate), so all but one of them cost nothing."""
    computation, free = self.computations[name], set()

    def sums(value: str) -> list[Instruction]:
      one = computation.get(value)
      if one is None or len(self.users.get((name, value), [])) != 1:
        return []
      if one.opcode == "all-reduce":
        return [one]
      if one.opcode in PASSES:
        return sums(one.operands[0])
      return added(one) if one.opcode == "add" else []

    def added(one: Instruction) -> list[Instruction]:
      left, right = (sums(operand) for operand in one.operands)
      same = left and right and group(left[0].text) == group(right[0].text)
      return left + right if same else []

    for one in computation.values():
      if one.opcode == "add":
        free |= {other.name for other in added(one)[1:]}
    return free


def collectives(text: str) -> list[Collective]:
  """Every collective of a step, as TPUs and GPUs would carry it out."""
  module, found = Module(text), []
  merged = {name: module.merged(name) for name in module.computations}
  for name, one, times in module.walk():
    kind = one.opcode.removesuffix("-start")
    if kind not in KINDS or one.name in merged[name]:
      continue
    values = [module.computations[name].get(operand) for operand in one.operands]
    moved = max([one.bytes, sum(value.bytes for value in values if value)])
    if kind == "all-reduce" and module.scattered(name, one):
      kind = "reduce-scatter"
    source = re.search(r'op_name="([^"]*)"', one.text)
    source = source.group(1) if source else ""
    sends = pairs(one.text)
    members = next((pair for pair in sends if pair[0] != pair[1]), group(one.text))
    found.append(Collective(kind, members, moved, times, source, sends))
  return found


def busiest(permutes: list[Collective]) -> float:
  """Bytes of the permutes in which that device takes part which has most to do in them;
  it sends and takes at once."""
  found = Counter()
  for one in permutes:
    sends = [pair for pair in one.pairs if pair[0] != pair[1]]
    for device in {device for pair in sends for device in pair}:
      found[device] += one.bytes * one.times
  return max([0.0, *found.values()])


def product_flops(text: str, *, open_turns: float = 1) -> float:
  """FLOPs of all matrix products of a step, on one device."""
  module, total = Module(text), 0.0
  for name, one, times in module.walk(open_turns=open_turns):
    if one.opcode != "dot":
      continue
    left = module.computations[name][one.operands[0]]
    dims = shapes(left.shape)[0][1]
    axes = re.search(r"lhs_contracting_dims=\{([\d,]*)\}", one.text).group(1)
    inner = math.prod(dims[int(axis)] for axis in axes.split(",") if axis)
    total += times * 2 * inner * math.prod(shapes(one.shape)[0][1])
  return total


def group(text: str) -> tuple[int, ...]:
  """Devices of the first group that a collective's attributes name.

  Four spellings: {{0,1},{2,3}}; [2,4]<=[8] and [2,4]<=[4,2]T(1,0), rows of a transposed
  range; mesh['a'=2,'b'=4] {'b'}, devices that differ in those axes alone; and pairs of
  source and target.
  """
  if found := re.search(
    r"replica_groups=\[([\d,]+)\]<=\[([\d,]+)\](?:T\(([\d,]+)\))?", text
  ):
    rows, dims, order = (_numbers(part) for part in found.groups())
    return _transposed(dims, order or tuple(range(len(dims))))[: rows[-1]]
  if found := re.search(MESH, text):
    shape, dims, order, inside = found.groups()
    sizes = [int(n) for n in re.findall(r"=(\d+)", shape)]
    names = re.findall(r"'([^']+)'=", shape)
    used = re.findall(r"'([^']+)'", inside)
    places = _grid(sizes, [names.index(name) for name in used])
    if dims is None:
      return places
    devices = _transposed(_numbers(dims), _numbers(order))
    return tuple(devices[place] for place in places)
  if found := re.search(r"(?:replica_groups|source_target_pairs)=\{\{([\d,]*)\}", text):
    return _numbers(found.group(1))
  return ()


def pairs(text: str) -> tuple[tuple[int, int], ...]:
  """(source, target) of a collective-permute's attributes."""
  found = re.search(r"source_target_pairs=\{((?:\{\d+,\d+\},?)*)\}", text)
  numbers = re.findall(r"\{(\d+),(\d+)\}", found.group(1)) if found else ()
  return tuple((int(source), int(target)) for source, target in numbers)


def shapes(text: str) -> list[tuple[str, tuple[int, ...]]]:
  """[(dtype, dimensions)] of an array or of a tuple's parts."""
  return [(kind, _numbers(dims)) for kind, dims in SHAPE.findall(text)]


def width(kind: str) -> int:
  """Bytes of one element."""
  if kind in WIDTHS:
    return WIDTHS[kind]
  bits = re.search(r"\d+", kind)
  return max(1, int(bits.group()) // 8) if bits else 0


def _numbers(text: str | None) -> tuple[int, ...]:
  return tuple(int(n) for n in text.split(",") if n) if text else ()


def _operands(rest: str) -> tuple[str, ...]:
  inside = rest.split(")", 1)[0]
  return tuple(re.findall(r"%([\w.#-]+)", inside))


def _parts(computation: dict[str, Instruction]) -> dict[str, Instruction]:
  """What is read as `%tuple#1`, as newer versions of XLA write it, as an instruction of
  older ones: get-tuple-element."""
  found = {}
  for one in computation.values():
    for operand in one.operands:
      whole, mark, at = operand.partition("#")
      if mark and whole in computation:
        parts = SHAPE.findall(computation[whole].shape)
        kind, dims = parts[int(at)] if int(at) < len(parts) else ("token", "")
        found[operand] = Instruction(
          operand,
          f"{kind}[{dims}]",
          "get-tuple-element",
          (whole,),
          f"%{whole}), index={at}",
          False,
        )
  return found


def _called(one: Instruction, attribute: str) -> str:
  return re.search(rf"{attribute}=%([\w.-]+)", one.text).group(1)


def _transposed(dims: tuple[int, ...], order: tuple[int, ...]) -> tuple[int, ...]:
  """arange(prod(dims)).reshape(dims).transpose(order), flat."""
  strides = [math.prod(dims[axis + 1 :]) for axis in range(len(dims))]
  flat = [0]
  for axis in order:
    flat = [base + i * strides[axis] for base in flat for i in range(dims[axis])]
  return tuple(flat)


def _grid(sizes: list[int], axes: list[int]) -> tuple[int, ...]:
  """Devices that differ from device 0 in these axes alone."""
  strides = [math.prod(sizes[axis + 1 :]) for axis in range(len(sizes))]
  flat = [0]
  for axis in axes:
    flat = [base + i * strides[axis] for base in flat for i in range(sizes[axis])]
  return tuple(flat)

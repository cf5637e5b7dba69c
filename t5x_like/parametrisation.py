"""Parametrisation: how initial values and rates follow width and depth, so that numbers
tuned on a small model hold for a large one.

You are in: t5x_like. Upstream: `run.Run.parametrisation`, which rewrites the run's model
and optimizer once. Downstream: nothing knows of it; a rewritten model is a model with
other `InitRule`s and scales, a rewritten optimizer is groups of the same one. `base` is
the small model: there, every factor is 1 and nothing is rewritten.

What a parameter is follows from its logical axes alone: a kernel's inputs and outputs
(roles.py), and which of them are widths. `m` below is a size divided by the base's.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable, Iterable

import jax
import optax

from models.components import param
from models.components.block import Block
from models.components.embed import Embed, Head
from models.components.param import Declared, InitRule
from models.components.residual import ScaledBlock
from models.components.spec import replace, spec
from models.components.stack import Stack, runs
from t5x_like import schedules
from t5x_like.optim import AdamW, Axes, Lion
from t5x_like.roles import path_name, roles

# Axes that grow with the model; all others are finite, whatever their size.
WIDTHS = ("embed", "features", "mlp", "heads", "kv_heads", "kv", "latent")
# Axes that are looked up: the input of a table, wherever they stand.
LOOKED_UP = ("relpos_buckets",)
HEAD = "head/kernel"
# Vectors that activations are multiplied with, one an expert: columns of a kernel.
COLUMNS = "/centroids"
SAME = 1e-9  # factors this close to 1 are roundings of 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Factors:
  """What the base's numbers for one parameter are multiplied by.

  std: standard deviation of initial values. rate: learning rate. decay, epsilon: AdamW's
  weight decay (which is multiplied by the rate, too) and epsilon.
  """

  std: float = 1.0
  rate: float = 1.0
  decay: float = 1.0
  epsilon: float = 1.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class MuP:
  """Maximal update parametrisation for Adam (Yang et al. 2022, arXiv:2203.03466, table
  8): the best learning rate of the base is that of every width.

  Kernels from width to width have std m^-1/2 and rate m^-1, where m counts inputs;
  tables and vectors stay as they are. Logits are multiplied by m^-1. Kernels from width
  to something finite, such as a router's, have no such multiplier, so std and rate are
  m^-1 (table 3). Scores are divided by the head's features, not by their square root
  (definition 4.1). Weight decay times rate stays what it is (appendix B.3).

  base: the spec of the model that was tuned; the same family with smaller numbers.
  """

  base: object

  def __post_init__(self):
    if not hasattr(self.base, "build"):
      raise ValueError(
        f"{type(self).__name__}.base={self.base!r} is no model; name the small one that "
        "was tuned: @base/llama.llama() with base/llama.llama.dim = 64, and so on."
      )

  def factors(self, model: object) -> dict[str, Factors]:
    """The factors of every parameter of a model, by path."""
    base = param.declarations(self.base)
    found = {}
    for path, declared in param.declarations(model).items():
      if path not in base:
        raise ValueError(
          f"{type(self).__name__}.base has no parameter {path}: its parts differ from "
          "the model's. Build it by the same family with the same options."
        )
      found[path] = self.of(path, declared, base[path])
    return found

  def of(self, path: str, declared: Declared, base: Declared) -> Factors:
    """The factors of one parameter."""
    if path == HEAD:
      return Factors()  # the multiplier of the logits does it all
    m = fan_in(declared, base)
    if path.endswith(COLUMNS):
      m = _growth(declared, base, range(len(declared.axes)))
    if _is_output(path, declared):
      return Factors(std=1 / m, rate=1 / m, decay=m)
    return Factors(std=m**-0.5, rate=1 / m, decay=m)

  def rewrite(self, model: object) -> object:
    """The model with initial values, logits and scores as the base's width asks for."""
    new = _together(model, self.base, self.part)
    declared, base = param.declarations(new), param.declarations(self.base)
    table = HEAD if HEAD in declared else "token_embedder/embedding"
    axes = range(len(declared[table].axes))
    m = _growth(declared[table], base[table], axes)
    if m != 1.0:
      new = replace(new, head=replace(new.head, scale=new.head.scale / m))
    rules = []
    for path, factors in self.factors(new).items():
      wanted = factors.std * _std(base[path])
      times = wanted / _std(declared[path]) if wanted else 1.0
      if not math.isclose(times, 1.0, rel_tol=SAME):
        init = Times(factor=times, init=declared[path].init)
        rules.append(InitRule(pattern=re.escape(path), init=init))
    return replace(new, init=(*rules, *new.init)) if rules else new

  def part(self, node: object, twin: object, depth: float) -> object:
    """One spec of the model; `twin` is the base's, `depth` layers for each of its."""
    del depth
    if isinstance(node, Embed | Head):
      return replace(node, scale=twin.scale)
    if hasattr(node, "key_width"):
      return _scores(node, twin)
    return node

  def optimizer(self, model: object, optimizer: object) -> object:
    """The optimizer with rates and so on by parameter; itself at the base's size."""
    if not isinstance(optimizer, AdamW | Lion):
      raise ValueError(
        f"{type(self).__name__} has no rule for OPTIMIZER={type(optimizer).__name__}: its "
        "tables are for updates of a size that gradients do not change. Use optim.AdamW "
        "or optim.Lion."
      )
    groups: dict[Factors, list[str]] = {}
    for path, factors in self.factors(model).items():
      # The deviation is no business of the optimizer.
      groups.setdefault(replace(factors, std=1.0), []).append(path)
    if set(groups) == {Factors()}:
      return optimizer
    return Grouped(
      optimizer=optimizer,
      groups=tuple(Group(factors=f, paths=tuple(p)) for f, p in groups.items()),
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class CompleteP(MuP):
  """muP in width and depth (Dey et al. 2025, arXiv:2505.01618, table 1).

  Beside `MuP`: what a block adds to the residual stream is multiplied by m_L^-alpha,
  rates inside blocks by m_L^(alpha - 1), AdamW's epsilon by m_N^-1 and inside blocks by
  m_L^-alpha too, where m_N counts features of the stream and m_L layers of the stack.
  alpha: 1 is CompleteP, 1/2 the depth rule of Yang et al. 2023, arXiv:2310.02244.
  """

  alpha: float = 1.0

  def __post_init__(self):
    super().__post_init__()
    if not 0.5 <= self.alpha <= 1.0:
      raise ValueError(f"CompleteP.alpha={self.alpha} must lie between 0.5 and 1.")

  def factors(self, model: object) -> dict[str, Factors]:
    width, declared = model.dim / self.base.dim, param.declarations(model)
    found = {}
    for path, one in super().factors(model).items():
      side, _, rest = path.partition("/")
      layers = 1.0
      if rest.startswith("blocks_"):
        blocks = [len(getattr(owner, side).blocks) for owner in (model, self.base)]
        layers = blocks[0] / blocks[1]
      epsilon = layers**-self.alpha
      # A kernel that took its multiplier into itself has gradients larger by as much.
      if path == HEAD or not _is_output(path, declared[path]):
        epsilon /= width
      rate = one.rate * layers ** (self.alpha - 1)
      found[path] = replace(one, rate=rate, epsilon=epsilon)
    return found

  def part(self, node: object, twin: object, depth: float) -> object:
    """As `MuP.part`, and blocks whose branches are scaled."""
    if isinstance(node, Block) and depth != 1.0:
      return _scaled_block(node, depth**-self.alpha)
    return super().part(node, twin, depth)


@spec
class Times:
  """Initial values of `init`, multiplied by `factor`."""

  factor: float
  init: object

  def __call__(self, key: jax.Array, shape: tuple, dtype: object) -> jax.Array:
    return self.factor * self.init(key, shape, dtype)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Group:
  """Parameters with the same factors."""

  factors: Factors
  paths: tuple[str, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Grouped:
  """One optimizer, its rate, decay and epsilon multiplied group by group."""

  optimizer: AdamW | Lion
  groups: tuple[Group, ...]

  @property
  def learning_rate(self) -> object:
    """The base's schedule: what is logged, and what a study varies."""
    return self.optimizer.learning_rate

  @property
  def clip(self) -> float | None:
    """The limit on the global norm, over all groups."""
    return self.optimizer.clip

  def build(self, axes: Axes) -> optax.GradientTransformation:
    parts = {
      str(i): multiplied(self.optimizer, group.factors).build(axes)
      for i, group in enumerate(self.groups)
    }
    label = {path: str(i) for i, g in enumerate(self.groups) for path in g.paths}

    def labels(params: dict) -> dict:
      name = lambda path, _: label[path_name(path)]
      return jax.tree_util.tree_map_with_path(name, params)

    return optax.partition(parts, labels)


def multiplied(optimizer: AdamW | Lion, factors: Factors) -> AdamW | Lion:
  """The optimizer for one group."""
  new = {}
  if factors.rate != 1.0:
    constant = schedules.Constant(value=factors.rate)
    new["learning_rate"] = schedules.Product(
      factors=(optimizer.learning_rate, constant)
    )
  if factors.decay != 1.0:
    new["weight_decay"] = optimizer.weight_decay * factors.decay
  if factors.epsilon != 1.0 and hasattr(optimizer, "epsilon"):
    new["epsilon"] = optimizer.epsilon * factors.epsilon
  return replace(optimizer, **new)


def role(axes: tuple[str, ...]) -> str:
  """ "vector", "input" (finite to width), "output" (width to finite) or "hidden"."""
  inputs, outputs = _sides(axes)
  wide = [any(axes[at] in WIDTHS for at in side) for side in (inputs, outputs)]
  if not inputs:
    return "vector"
  return {(True, False): "output", (True, True): "hidden"}.get(tuple(wide), "input")


def _is_output(path: str, declared: Declared) -> bool:
  return path.endswith(COLUMNS) or role(declared.axes) == "output"


def fan_in(declared: Declared, base: Declared) -> float:
  """m: how many times the inputs of the base's parameter this one has; 1 for vectors."""
  return _growth(declared, base, _sides(declared.axes)[0])


def _growth(declared: Declared, base: Declared, axes: Iterable[int]) -> float:
  """The product of the widths among these axes, divided by the base's."""
  wide = [at for at in axes if declared.axes[at] in WIDTHS]
  return math.prod((declared.shape[at] / base.shape[at] for at in wide), start=1.0)


def _sides(axes: tuple[str, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
  """Numbers of the axes that are inputs, and of those that are outputs."""
  groups = list(roles(axes).groups)
  if len(groups) == 1:
    return (), groups[0]
  table = [g for g in groups if any(axes[at] in LOOKED_UP for at in g)]
  inputs = table[0] if table else groups[0]
  return inputs, tuple(at for g in groups if g != inputs for at in g)


def _std(declared: Declared) -> float:
  """Standard deviation of a parameter's initial values."""
  shape = declared.shape[1:] if declared.layers else declared.shape
  return _std_of(declared.init, shape)


def _std_of(init: object, shape: tuple[int, ...]) -> float:
  match init:
    case param.Constant():
      return 0.0
    case param.Normal():
      return init.std
    case param.Uniform():
      return init.bound / math.sqrt(3)
    case param.FanIn():
      return math.sqrt(init.scale / math.prod(shape[: init.inputs]))
    case param.FanAverage():
      fans = math.prod(shape[: init.inputs]) + math.prod(shape[init.inputs :])
      return init.gain * math.sqrt(2 / fans)
    case param.FanAverageUniform():
      return math.sqrt(2 / (shape[0] + shape[1]))
    case param.Each():
      return _std_of(init.init, shape[1:])
    case Times():
      return init.factor * _std_of(init.init, shape)
  raise ValueError(
    f"The initializer {init!r} is unknown to t5x_like/parametrisation.py; add its standard "
    "deviation there."
  )


Rule = Callable[[object, object, float], object]


def _together(node: object, twin: object, rule: Rule, depth: float = 1.0) -> object:
  """`spec.rewrite` with the base beside it: rule(spec, the base's, m_L), leaves first."""
  if not dataclasses.is_dataclass(node):
    return node
  if type(node) is not type(twin):
    raise ValueError(
      f"The base has {type(twin).__name__} where the model has {type(node).__name__}. "
      "Build it by the same family with the same options; run.Run.swaps, whose parts have "
      "sizes of their own, are not applied to it."
    )
  new = {}
  for field in dataclasses.fields(node):
    child, other = getattr(node, field.name), getattr(twin, field.name)
    if isinstance(node, Stack) and field.name == "blocks":
      growth = len(child) / len(other)
      pairs = zip(child, _twins(child, other), strict=True)
      new[field.name] = tuple(_together(b, t, rule, growth) for b, t in pairs)
    elif dataclasses.is_dataclass(child):
      new[field.name] = _together(child, other, rule, depth)
  return rule(replace(node, **new), twin, depth)


def _twins(blocks: tuple, others: tuple) -> list[object]:
  """For every block the base's block whose parameters have the same path."""
  found = []
  for first, period, count in runs(blocks):
    if first + period > len(others):
      raise ValueError(
        f"The base has {len(others)} blocks and none beside block {first} of the model. "
        "Give it the model's pattern of blocks, such as the same number of them."
      )
    found += count * list(others[first : first + period])
  return found


def _scores(node: object, twin: object) -> object:
  """Attention whose scores shrink with the features of a head, not with their root."""
  now, then = (
    one.call(dropout=0.0, aligned=True, batch_shards=1).scale for one in (node, twin)
  )
  wanted = then * twin.key_width / node.key_width
  return (
    node if math.isclose(now, wanted, rel_tol=SAME) else replace(node, scale=wanted)
  )


def _scaled_block(node: Block, branch: float) -> ScaledBlock:
  if type(node) is not Block:
    raise ValueError(
      f"CompleteP has no rule for {type(node).__name__}: its table is for blocks that "
      "normalize before each part and add one part after the other (block.Block). Keep "
      "the number of layers of the base, or use MuP."
    )
  fields = {field.name: getattr(node, field.name) for field in dataclasses.fields(node)}
  return ScaledBlock(branch=branch, **fields)

"""Conventions: what different papers mean by parameters and by FLOPs, side by side.

You are in: t5x_like/study. Upstream: models/components (specs, flops.py). Downstream:
reports and fits, which name the convention beside every number, because exponents depend
on it: the same 24 runs of nanochat give N_opt ~ C^0.37, C^0.54 or C^0.70 by whether the
embedding, the head or neither is counted.

FLOPs here are those of training one row: forward, and twice that backward. A product of
[m, k] and [k, n] is 2 m k n; what is recomputed counts nothing.
"""

from __future__ import annotations

import dataclasses

from models.components import flops
from models.components.mask import Full
from models.components.param import declarations
from models.components.spec import replace, rewrite

DESCRIPTIONS = {
  "exact": "every product of matrices, attention scores of the whole square",
  "exact_causal": "the same, scores that the mask hides left out",
  "6n": "6 x active parameters x tokens",
  "6n_nonembedding": "6 x active parameters but tables and head x tokens (Kaplan)",
  "6n_head": "6 x active parameters but tables, with a head x tokens (Porian: standard)",
  "palm": "6 x parameters x tokens + 12 layers width tokens^2 (PaLM, appendix B)",
  "deepseek_m": "72 layers dim^2 + 12 layers dim length a token (DeepSeek LLM, eq. 2)",
  "appendix_f": "Chinchilla, appendix F, as it is written",
  "appendix_f_as_reported": "the same without embedding and logits, as table A4 has it",
}


@dataclasses.dataclass(frozen=True)
class Parameters:
  """The four counts that papers call N.

  total: every parameter once. active: those that one token passes through (all but the
  experts it does not choose). nonembedding: active, without token and position tables
  and without a head of its own. with_head: nonembedding plus vocabulary x dim for the
  product with the head, be it tied or not.
  """

  total: int
  active: int
  nonembedding: int
  with_head: int


def parameters(model: object) -> Parameters:
  """Counts of a model spec."""
  declared = declarations(model)
  tables = sum(
    found.size
    for path, found in declared.items()
    if path.startswith(("token_embedder/", "encoder_embedder/", "head/"))
  )
  active = flops.active_parameters(model)
  nonembedding = active - tables
  return Parameters(
    total=sum(found.size for found in declared.values()),
    active=active,
    nonembedding=nonembedding,
    with_head=nonembedding + model.vocab * model.dim,
  )


def training_flops(model: object, lengths: dict[str, int]) -> dict[str, float]:
  """{convention: FLOPs of one row}; those that are defined for this kind of model.

  lengths: {"encoder": tokens, "decoder": tokens}. Rules of thumb that count parameters
  times tokens give an encoder-decoder the mean of its two lengths, since each half of
  its parameters sees one of them.
  """
  found = parameters(model)
  tokens = sum(lengths.values()) / len(lengths)
  row = {
    "exact": flops.step_flops(_unmasked(model), batch=1, lengths=lengths),
    "exact_causal": flops.step_flops(model, batch=1, lengths=lengths),
    "6n": 6 * found.active * tokens,
    "6n_nonembedding": 6 * found.nonembedding * tokens,
    "6n_head": 6 * found.with_head * tokens,
  }
  if not hasattr(model, "encoder"):
    row |= _decoder_rules(model, found, lengths["decoder"])
  return {name: float(value) for name, value in row.items()}


def _unmasked(model):
  """The model with every position looking at every other."""
  return rewrite(
    model, lambda node: replace(node, mask=Full()) if hasattr(node, "mask") else node
  )


def _decoder_rules(model, found, tokens):
  blocks = model.decoder.blocks
  width = sum(block.attention.heads * block.attention.head_dim for block in blocks)
  return {
    "palm": palm_per_token(found.active, width, tokens) * tokens,
    "deepseek_m": deepseek_m(len(blocks), model.dim, tokens) * tokens,
  }


def palm_per_token(count: int, width: int, length: int) -> float:
  """6 N + 12 L H Q T: Chowdhery et al. (2022), arXiv:2204.02311, appendix B.

  width: heads x head size, summed over layers. Model FLOPs utilization is tokens a
  second times this over the peak.
  """
  return 6 * count + 12 * width * length


def deepseek_m(layers: int, dim: int, length: int) -> float:
  """Non-embedding FLOPs a token: DeepSeek-AI (2024), arXiv:2401.02954, eq. 2."""
  return 72 * layers * dim**2 + 12 * layers * dim * length


@dataclasses.dataclass(frozen=True)
class ChinchillaShape:
  """A row of table A9 of Hoffmann et al. (2022), arXiv:2203.15556."""

  layers: int
  dim: int
  hidden: int
  heads: int
  head_dim: int
  vocab: int = 32_000
  length: int = 2048

  @property
  def width(self) -> int:
    """Of attention: heads x head size, which is not `dim` in every row."""
    return self.heads * self.head_dim

  @property
  def parameters(self) -> int:
    """As the table counts: queries, keys, values, outputs, relative positions; one table.

    That makes 5 dim x width of attention a layer, and gives 49 of the 50 sizes within
    0.5 %.
    """
    block = 5 * self.dim * self.width + 2 * self.dim * self.hidden
    return self.layers * block + self.vocab * self.dim

  def appendix_f(self, *, as_reported: bool = False) -> float:
    """Training FLOPs of one row, by the formulae of appendix F.

    as_reported: without embedding and logits. Only so do the ratios of table A4 come
    out, although the appendix lists both.
    """
    s, d, a = self.length, self.dim, self.width
    attention = 2 * 3 * s * d * a  # queries, keys, values
    attention += (
      2 * s * s * a + 3 * self.heads * s * s + 2 * s * s * a
    )  # scores, softmax
    attention += 2 * s * a * d  # output
    dense = 2 * s * 2 * d * self.hidden
    total = self.layers * (attention + dense)
    if not as_reported:
      total += 2 * s * self.vocab * d + 2 * s * d * self.vocab
    return 3 * total

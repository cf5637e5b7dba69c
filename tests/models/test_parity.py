"""Parity with transformers (PyTorch): the same random weights give the same numbers.

Logits within 2e-5 of the largest one, in float32: both sides sum in another order, and
some layers deep that is what remains. Rows are full, padded on the right and padded on
the left; lengths go beyond T5's largest distance bucket and use the causal blocks of
our attention. `pytest -s` prints the table.
"""

import dataclasses
import functools
import inspect
from collections.abc import Callable

import hf_weights
import jax
import numpy as np
import parity_table
import pytest
import torch
import transformers

from models.components.model import EncoderDecoder
from models.components.param import bind, flatten, nested
from models.components.position import Llama3Scaling
from models.families.cpm2 import cpm2
from models.families.gpt2 import gpt2
from models.families.llama import llama
from models.families.t5 import t5, t5_1_1, umt5
from models.families.ul2 import ul2
from t5x_like.losses import CrossEntropy

LOGITS = 2e-5  # of the largest logit
# Of the largest element of that parameter's gradient: it passes through every layer
# twice, and sums over 600 tokens. A key's bias shifts all scores of a query alike, so its
# gradient is zero but for rounding: hence the part of the model's largest gradient.
GRADIENTS, ROUNDING = 2e-5, 1e-7
# LLVM's optimizations take most of the compilation; without them sums round alike.
FAST_COMPILE = {"xla_backend_optimization_level": 0}
ENCODER, DECODER = 160, 256
VOCAB, HEAD_DIM = 97, 12
Z_LOSS = 1e-4
LOSS = CrossEntropy(z_loss=Z_LOSS)


@dataclasses.dataclass(frozen=True)
class Case:
  """Two ways to say one architecture, and the map between their weights."""

  spec: object
  theirs: Callable[[], torch.nn.Module]
  weights: Callable


SIZES = dict(dim=32, hidden=48, heads=4, head_dim=HEAD_DIM, layers=2, vocab=VOCAB)


def hf_t5(model, config, *, tied: bool, **options):
  """Tying is forced on by the configuration class; it has to be undone afterwards."""
  made = config(
    vocab_size=VOCAB,
    d_model=32,
    d_ff=48,
    num_heads=4,
    d_kv=HEAD_DIM,
    num_layers=2,
    num_decoder_layers=3,
    attn_implementation="eager",
    tie_word_embeddings=tied,
    **options,
  )
  made.tie_word_embeddings = tied
  built = model(made)
  built.set_input_embeddings(built.shared)  # untying separated these tables, too
  return built


def hf_llama(**options):
  return transformers.LlamaForCausalLM(
    transformers.LlamaConfig(
      vocab_size=VOCAB,
      hidden_size=32,
      intermediate_size=48,
      num_hidden_layers=3,
      num_attention_heads=4,
      max_position_embeddings=1024,
      attn_implementation="eager",
      **options,
    )
  )


def hf_gpt2():
  return transformers.GPT2LMHeadModel(
    transformers.GPT2Config(
      vocab_size=VOCAB,
      n_embd=32,
      n_layer=3,
      n_head=4,
      n_positions=512,
      bos_token_id=None,
      eos_token_id=None,
      attn_implementation="eager",
    )
  )


T5 = (transformers.T5ForConditionalGeneration, transformers.T5Config)
MT5 = (transformers.MT5ForConditionalGeneration, transformers.MT5Config)
UMT5 = (transformers.UMT5ForConditionalGeneration, transformers.UMT5Config)
LLAMA = dict(dim=32, hidden=48, heads=4, layers=3, vocab=VOCAB)
# A short original length, so that all three parts of the scaling are in use.
SCALED = {
  "rope_type": "llama3",
  "rope_theta": 500.0,
  "factor": 4.0,
  "low_freq_factor": 1.0,
  "high_freq_factor": 4.0,
  "original_max_position_embeddings": 64,
}
CASES = {
  "T5 v1.0, tied and scaled": Case(
    t5(decoder_layers=3, **SIZES),
    functools.partial(hf_t5, *T5, tied=True, feed_forward_proj="relu"),
    hf_weights.t5,
  ),
  "T5 v1.1, untied": Case(
    t5_1_1(decoder_layers=3, **SIZES),
    functools.partial(hf_t5, *T5, tied=False, feed_forward_proj="gated-gelu"),
    hf_weights.t5,
  ),
  "UL2": Case(
    ul2(decoder_layers=3, **SIZES),
    functools.partial(hf_t5, *T5, tied=False, feed_forward_proj="gated-silu"),
    hf_weights.t5,
  ),
  "CPM-2": Case(
    cpm2(decoder_layers=3, **SIZES),
    functools.partial(hf_t5, *T5, tied=False, feed_forward_proj="gated-gelu"),
    hf_weights.t5,
  ),
  "mT5": Case(
    t5_1_1(decoder_layers=3, **SIZES),
    functools.partial(hf_t5, *MT5, tied=False),
    hf_weights.t5,
  ),
  "umT5": Case(
    umt5(decoder_layers=3, **SIZES),
    functools.partial(hf_t5, *UMT5, tied=False),
    hf_weights.t5,
  ),
  "GPT-2": Case(
    gpt2(dim=32, heads=4, layers=3, length=512, vocab=VOCAB), hf_gpt2, hf_weights.gpt2
  ),
  "LLaMA": Case(
    llama(eps=1e-6, **LLAMA),
    functools.partial(hf_llama, rms_norm_eps=1e-6),
    hf_weights.llama,
  ),
  "LLaMA 2, 2 of 4 key heads": Case(
    llama(kv_heads=2, **LLAMA),
    functools.partial(hf_llama, rms_norm_eps=1e-5, num_key_value_heads=2),
    hf_weights.llama,
  ),
  "LLaMA 3.2, scaled and tied": Case(
    llama(
      kv_heads=1,
      tied=True,
      rope_base=500.0,
      rope_scaling=Llama3Scaling(factor=4.0, original=64),
      **LLAMA,
    ),
    functools.partial(
      hf_llama,
      rms_norm_eps=1e-5,
      num_key_value_heads=1,
      tie_word_embeddings=True,
      rope_parameters=SCALED,
    ),
    hf_weights.llama,
  ),
}


@dataclasses.dataclass(frozen=True, repr=False)
class Result:
  """Numbers of both sides; gradients by our paths."""

  ours: np.ndarray
  theirs: np.ndarray
  theirs_unpadded: np.ndarray
  weights: np.ndarray
  our_gradients: dict
  their_gradients: dict

  def largest_difference(self) -> float:
    """Over all tokens that are not padding."""
    return np.abs(self.ours - self.theirs)[self.weights > 0].max()

  def largest_logit(self) -> float:
    return np.abs(self.theirs[self.weights > 0]).max()


@functools.cache
def result(name: str) -> Result:
  """Both models on one batch, once per case."""
  return compared(CASES[name])


def compared(case: Case, data: dict | None = None) -> Result:
  """Both models on one batch, that of `batch` if none is given."""
  model = randomized(case.theirs())
  if data is None:
    data = batch(isinstance(case.spec, EncoderDecoder))
  theirs, loss = run_theirs(model, data)
  loss.backward()
  named = {n: p.detach().numpy() for n, p in model.named_parameters()}
  gradients = {n: p.grad.numpy() for n, p in model.named_parameters()}
  ours, our_gradients = run_ours(
    case.spec, nested(case.weights(named, case.spec)), data
  )
  return Result(
    ours=ours,
    theirs=theirs,
    theirs_unpadded=run_unpadded(model, data),
    weights=data["decoder_loss_weights"],
    our_gradients=flatten(our_gradients),
    their_gradients=case.weights(gradients, case.spec),
  )


def randomized(model: torch.nn.Module) -> torch.nn.Module:
  """Weights large enough that every part moves the logits.

  T5's queries are smaller by head_dim**-0.5, as published: it does not scale scores,
  and saturated softmaxes would show the rounding of scores instead of mistakes.
  """
  generator = torch.Generator().manual_seed(0)
  with torch.no_grad():
    for name, p in model.named_parameters():
      noise = torch.randn(p.shape, generator=generator)
      if p.ndim == 1:
        # Factors of norms begin at one, or at zero where one is added to them.
        p.copy_(0.1 * noise + float(torch.all(p == 1.0)))
      elif "relative_attention_bias" in name:
        p.copy_(noise)
      elif name.endswith(".q.weight"):
        p.copy_(0.2 * HEAD_DIM**-0.5 * noise)
      else:
        p.copy_(0.2 * noise)
  return model.eval()


def batch(encoder: bool) -> dict[str, np.ndarray]:
  """Rows: full, padded on the right, padded on the left. Segment 0 is padding."""
  rng = np.random.default_rng(0)
  data = side(rng, "decoder", [(0, DECODER), (0, 150), (70, DECODER)], DECODER)
  if encoder:
    data |= side(rng, "encoder", [(0, ENCODER), (0, 140), (15, ENCODER)], ENCODER)
  data["decoder_target_tokens"] = rng.integers(
    1, VOCAB, data["decoder_positions"].shape
  )
  data["decoder_loss_weights"] = data["decoder_segment_ids"].astype(np.float32)
  return data


def side(rng, name, spans, length):
  index = np.arange(length)
  segments = np.stack([(index >= a) & (index < b) for a, b in spans]).astype(np.int32)
  positions = np.stack([np.clip(index - a, 0, b - a - 1) for a, b in spans])
  tokens = rng.integers(1, VOCAB, segments.shape) * segments
  return {
    f"{name}_input_tokens": tokens.astype(np.int32),
    f"{name}_segment_ids": segments,
    f"{name}_positions": positions.astype(np.int32),
  }


def run_ours(spec, params, data):
  """Logits, and the gradient of the summed loss."""
  module = spec.build()

  def loss(params, data):
    model = bind(module, params)
    hidden, _ = model(data)
    head = model.head_weights()
    total, _ = LOSS(
      hidden,
      head.kernel,
      data["decoder_target_tokens"],
      data["decoder_loss_weights"],
      embed_axis=head.embed_axis,
      scale=head.scale,
      bias=head.bias,
    )
    return total, head.logits(hidden)

  run = jax.jit(jax.grad(loss, has_aux=True), compiler_options=FAST_COMPILE)
  grads, logits = run(params, data)
  return np.asarray(logits), jax.tree.map(np.asarray, grads)


def run_theirs(model, data):
  """Logits, and the summed loss with its z-loss as a tensor."""
  t = {k: torch.from_numpy(np.asarray(v, np.int64)) for k, v in data.items()}
  if "encoder_input_tokens" in t:
    logits = model(
      input_ids=t["encoder_input_tokens"],
      attention_mask=t["encoder_segment_ids"],
      decoder_input_ids=t["decoder_input_tokens"],
      decoder_attention_mask=t["decoder_segment_ids"],
    ).logits
  else:
    logits = model(
      input_ids=t["decoder_input_tokens"],
      attention_mask=t["decoder_segment_ids"],
      **position_ids(model, t["decoder_positions"]),
    ).logits
  targets = t["decoder_target_tokens"]
  nats = torch.nn.functional.cross_entropy(
    logits.flatten(0, 1), targets.flatten(), reduction="none"
  )
  z = Z_LOSS * torch.logsumexp(logits, -1).flatten() ** 2
  loss = torch.sum((nats + z) * t["decoder_loss_weights"].flatten())
  return logits.detach().numpy(), loss


def position_ids(model, positions: torch.Tensor) -> dict[str, torch.Tensor]:
  """Nothing for classes that count the tokens of the mask themselves (ALiBi)."""
  taken = "position_ids" in inspect.signature(model.forward).parameters
  return {"position_ids": positions} if taken else {}


def run_unpadded(model, data):
  """The first row, without any mask."""
  row = {k: torch.from_numpy(np.asarray(v[:1], np.int64)) for k, v in data.items()}
  with torch.no_grad():
    if "encoder_input_tokens" in row:
      return model(
        input_ids=row["encoder_input_tokens"],
        decoder_input_ids=row["decoder_input_tokens"],
      ).logits.numpy()
    return model(input_ids=row["decoder_input_tokens"]).logits.numpy()


@pytest.fixture(scope="module", autouse=True)
def table():
  """Prints what was compared."""
  yield
  print(f"\n{'model':<28}{'largest difference':>20}{'largest logit':>16}{'ratio':>10}")
  for name in CASES:
    one = result(name)
    difference, logit = one.largest_difference(), one.largest_logit()
    print(f"{name:<28}{difference:>20.2e}{logit:>16.3f}{difference / logit:>10.1e}")


@pytest.mark.parametrize("name", CASES)
def test_logits_equal_those_of_transformers(name, update_golden):
  check_logits(name, CASES[name], result(name), update_golden)


def check_logits(name: str, case: Case, one: Result, update: bool) -> None:
  """Of padded rows."""
  ratio = one.largest_difference() / one.largest_logit()
  reference = f"transformers.{type(case.theirs()).__name__}"
  parity_table.note(update, name, reference=reference, logits=float(ratio))
  assert one.largest_difference() <= LOGITS * one.largest_logit()


@pytest.mark.parametrize("name", CASES)
def test_logits_of_a_full_row_equal_those_without_a_mask(name):
  check_unpadded(result(name))


def check_unpadded(one: Result) -> None:
  """Logits of a full row."""
  difference = np.abs(one.ours[:1] - one.theirs_unpadded).max()
  assert difference <= LOGITS * np.abs(one.theirs_unpadded).max()


def worst(ours: dict, theirs: dict) -> float:
  """The largest difference of a parameter's gradient, of its largest element. Those
  that are zero but for rounding are left out."""
  largest = max(np.abs(grad).max() for grad in theirs.values())
  ratios = [
    np.abs(ours[path] - grad).max() / np.abs(grad).max()
    for path, grad in theirs.items()
    if np.abs(grad).max() > 1e-5 * largest
  ]
  return float(max(ratios))


@pytest.mark.parametrize("name", CASES)
def test_gradients_equal_those_of_autograd(name, update_golden):
  check_gradients(name, result(name), update_golden)


def check_gradients(name: str, one: Result, update: bool) -> None:
  """Of every parameter."""
  parity_table.note(
    update, name, gradients=worst(one.our_gradients, one.their_gradients)
  )
  assert one.our_gradients.keys() == one.their_gradients.keys()
  floor = ROUNDING * max(np.abs(g).max() for g in one.their_gradients.values())
  for path, theirs in one.their_gradients.items():
    difference = np.abs(one.our_gradients[path] - theirs).max()
    assert difference <= GRADIENTS * np.abs(theirs).max() + floor, path

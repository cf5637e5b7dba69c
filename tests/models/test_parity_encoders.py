"""Parity of encoders with transformers: masked tokens, whole rows, and gradients.

Weights, rows and tolerances as in test_parity.py; two segments a row, and a loss of both
heads."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import test_parity as parity
import torch
import transformers

from models.components.param import bind, declarations, flatten, nested
from models.families.bert import albert, bert, roberta
from t5x_like.interop.formats.index import FORMATS
from t5x_like.interop.names import to_ours

VOCAB, LENGTH = parity.VOCAB, parity.ENCODER
SIZES = dict(
  vocab_size=VOCAB,
  hidden_size=32,
  num_attention_heads=4,
  num_hidden_layers=3,
  intermediate_size=48,
  max_position_embeddings=200,
  pad_token_id=0,
  attn_implementation="eager",
)
OURS = dict(dim=32, heads=4, layers=3, hidden=48, vocab=VOCAB)


@dataclasses.dataclass(frozen=True)
class Case:
  """Two ways to say one architecture."""

  spec: object
  model: type
  config: type
  options: dict

  def theirs(self) -> torch.nn.Module:
    return self.model(self.config(**SIZES | self.options))


CASES = {
  "BERT": Case(
    bert(length=200, **OURS),
    transformers.BertForPreTraining,
    transformers.BertConfig,
    dict(type_vocab_size=2),
  ),
  "RoBERTa": Case(
    roberta(length=198, **OURS),
    transformers.RobertaForMaskedLM,
    transformers.RobertaConfig,
    dict(type_vocab_size=1, layer_norm_eps=1e-5),
  ),
  "ALBERT": Case(
    albert(length=200, narrow=20, **OURS),
    transformers.AlbertForPreTraining,
    transformers.AlbertConfig,
    dict(type_vocab_size=2, embedding_size=20),
  ),
}


def batch(spec) -> dict[str, np.ndarray]:
  rng = np.random.default_rng(0)
  data = parity.side(rng, "encoder", [(0, LENGTH), (0, 140), (0, 90)], LENGTH)
  shape = data["encoder_positions"].shape
  types = np.tile(np.int32(np.arange(LENGTH) >= 50), (len(shape) + 1, 1))
  data["encoder_token_types"] = types * (spec.embed.types > 1)
  data["encoder_target_tokens"] = rng.integers(1, VOCAB, shape)
  masked = rng.random(shape) < 0.2
  data["encoder_loss_weights"] = np.float32(masked * data["encoder_segment_ids"])
  for head in spec.pooled:
    data[head.label] = np.array([[1], [0], [1]], np.int32)
  return data


@functools.cache
def result(name: str):
  """((masked tokens' logits, rows' logits), gradients) of ours, and of theirs."""
  case = CASES[name]
  model, data = parity.randomized(case.theirs()), batch(case.spec)
  kind = model.config.model_type
  format = next(f for f in FORMATS if f.model_type == kind)
  theirs, grads = run_theirs(model, data, case.spec)
  table = lambda tensors: to_ours(
    format.rows(case.spec), tensors, declarations(case.spec)
  )
  named = {n: p.detach().numpy() for n, p in model.named_parameters()}
  ours = run_ours(case.spec, nested(table(named)), data)
  return ours, (theirs, table(grads))


def run_theirs(model, data, spec):
  rows = {k: torch.from_numpy(np.asarray(v, np.int64)) for k, v in data.items()}
  positions = rows["encoder_positions"] + spec.embed.position.offset
  out = model(
    input_ids=rows["encoder_input_tokens"],
    attention_mask=rows["encoder_segment_ids"],
    token_type_ids=rows["encoder_token_types"],
    position_ids=positions,
  )
  tokens = out.prediction_logits if spec.pooled else out.logits
  judged = next(
    (getattr(out, n) for n in ("seq_relationship_logits", "sop_logits") if n in out),
    None,
  )
  nats = torch.nn.functional.cross_entropy(
    tokens.flatten(0, 1), rows["encoder_target_tokens"].flatten(), reduction="none"
  )
  loss = torch.sum(nats * torch.from_numpy(data["encoder_loss_weights"]).flatten())
  for head in spec.pooled:
    loss = loss + torch.nn.functional.cross_entropy(judged, rows[head.label][:, 0])
  loss.backward()
  grads = {n: p.grad.numpy() for n, p in model.named_parameters()}
  logits = tokens.detach().numpy(), None if judged is None else judged.detach().numpy()
  return logits, grads


def run_ours(spec, params, data):
  module = spec.build()

  def loss(params, data):
    model = bind(module, params)
    hidden, aux = model(data)
    raw, _ = model.encode(data)
    head = model.head_weights()
    total, _ = parity.CrossEntropy()(
      hidden,
      head.kernel,
      data["encoder_target_tokens"],
      data["encoder_loss_weights"],
      embed_axis=head.embed_axis,
      bias=head.bias,
    )
    judged = [one(raw) for one in model.pooled_heads()]
    return total + sum(aux.values(), jnp.zeros(())), (head.logits(hidden), judged)

  run = jax.jit(jax.grad(loss, has_aux=True), compiler_options=parity.FAST_COMPILE)
  grads, (logits, judged) = run(params, data)
  return (np.asarray(logits), judged), flatten(jax.tree.map(np.asarray, grads))


@pytest.mark.parametrize("name", CASES)
def test_logits_equal_those_of_transformers(name, update_golden):
  ((ours, judged), _), ((theirs, their_judged), _) = result(name)
  real = batch(CASES[name].spec)["encoder_segment_ids"] > 0
  difference = np.abs(ours - theirs)[real].max()
  largest = np.abs(theirs[real]).max()
  parity.parity_table.note(
    update_golden,
    name,
    reference=f"transformers.{CASES[name].model.__name__}",
    logits=float(difference / largest),
  )
  assert difference <= parity.LOGITS * largest
  for one in judged:
    largest = np.abs(their_judged).max()
    assert np.abs(one - their_judged).max() <= parity.LOGITS * largest


@pytest.mark.parametrize("name", CASES)
def test_gradients_equal_those_of_autograd(name, update_golden):
  (_, ours), (_, theirs) = result(name)
  assert ours.keys() == theirs.keys()
  worst = parity.worst(ours, theirs)
  parity.parity_table.note(update_golden, name, gradients=worst)
  floor = parity.ROUNDING * max(np.abs(grad).max() for grad in theirs.values())
  for path, grad in theirs.items():
    difference = np.abs(ours[path] - grad).max()
    assert difference <= parity.GRADIENTS * np.abs(grad).max() + floor, path

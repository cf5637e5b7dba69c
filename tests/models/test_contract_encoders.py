"""The contract of encoders: what test_contract.py asks of models that generate, as far
as it applies; and that they see both sides."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import test_contract as contract

from models.components.encoder import Pooled
from models.components.execution import Execution
from models.components.model import Pass
from models.components.param import bind, count, declarations, flatten
from models.components.shared_stack import SharedStack
from models.components.spec import replace
from models.components.stack import Stack
from models.row import ENCODER
from models.zoo import ZOO
from partitioning.axes import AXES

SPECS = {
  name: row.spec()
  for name, row in ZOO.items()
  if "/tiny" in name and row.kind == ENCODER
}
ROWS, LENGTH = contract.ROWS, contract.LENGTH
EXECUTIONS = contract.EXECUTIONS | {"a loop": Execution(scan=False)}


def batch(spec):
  rng = np.random.default_rng(0)
  index = np.arange(LENGTH, dtype=np.int32)
  data = {
    "encoder_input_tokens": rng.integers(1, spec.vocab, (ROWS, LENGTH)).astype("i4"),
    "encoder_segment_ids": np.ones((ROWS, LENGTH), np.int32),
    "encoder_positions": np.tile(index, (ROWS, 1)),
    "encoder_token_types": np.tile(np.int32(index >= 9), (ROWS, 1))
    * (spec.embed.types > 1),
  }
  return data | {head.label: np.array([[1], [-1]], np.int32) for head in spec.pooled}


@functools.cache
def computed(name, execution=Execution()):
  """Logits, extra losses and gradients of a loss in which all of them count."""
  spec = SPECS[name]

  def loss(params, data):
    model = bind(contract.module(spec), params)
    hidden, aux = model(data, Pass(execution=execution))
    logits = model.logits(hidden)
    some = jnp.mean(jax.nn.logsumexp(logits, axis=-1) - logits[..., 3])
    return some + sum(aux.values(), jnp.zeros(())), (logits, aux)

  run = contract.jit(jax.grad(loss, has_aux=True))
  grads, (logits, aux) = run(contract.parameters(spec), batch(spec))
  return np.asarray(logits), aux, flatten(jax.tree.map(np.asarray, grads))


def logits_of(name, data):
  spec = SPECS[name]
  return np.asarray(contract.forward(spec)(contract.parameters(spec), data))


@pytest.mark.parametrize("name", SPECS)
def test_every_axis_is_in_the_dictionary(name):
  declared = declarations(SPECS[name]).values()
  assert {axis for d in declared for axis in d.axes} <= set(AXES)


@pytest.mark.parametrize("name", SPECS)
def test_every_parameter_has_a_gradient(name):
  logits, _, grads = computed(name)
  assert logits.shape == (ROWS, LENGTH, SPECS[name].vocab)
  for path, grad in grads.items():
    rows = grad.reshape(grad.shape[0] if "blocks_" in path else 1, -1)
    if not path.endswith(contract.NO_GRADIENT):
      assert np.all(np.abs(rows).max(axis=1) > 0), path


@pytest.mark.parametrize("name", SPECS)
def test_every_token_sees_every_other(name):
  spec = SPECS[name]
  changed = batch(spec)
  changed["encoder_input_tokens"][:, 9] += 1
  changed["encoder_input_tokens"] %= spec.vocab
  difference = np.abs(logits_of(name, batch(spec)) - logits_of(name, changed))
  assert np.all(difference.max(axis=-1) > 1e-4)


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("execution", list(EXECUTIONS)[1:])
def test_execution_changes_no_number(name, execution):
  plain, _, grads = computed(name)
  logits, _, other = computed(name, EXECUTIONS[execution])
  contract.assert_close(logits, plain)
  floor = 1e-7 * max(np.abs(grad).max() for grad in grads.values())
  for path, grad in grads.items():
    limit = contract.CLOSE * np.abs(grad).max() + floor
    assert np.abs(other[path] - grad).max() <= limit, path


@pytest.mark.parametrize("name", SPECS)
def test_documents_packed_into_one_row_do_not_see_each_other(name):
  data = batch(SPECS[name])
  together, apart = ({k: np.zeros_like(v) for k, v in data.items()} for _ in "ab")
  for key in data:
    if not key.startswith("encoder_"):
      continue
    one, two = data[key][0, :7], data[key][1, :5]
    apart[key][0, :7], apart[key][1, :5] = one, two
    together[key][0, :7], together[key][0, 7:12] = one, two
  together["encoder_segment_ids"][0, 7:12] = 2
  logits, alone = logits_of(name, together), logits_of(name, apart)
  contract.assert_close(logits[0, :7], alone[0, :7])
  contract.assert_close(logits[0, 7:12], alone[1, :5])


def test_a_pooled_loss_is_the_mean_over_rows_that_have_a_label():
  """Of logits (1, 3): log(e^1 + e^3) - 3 for class 1; the row without a label is out."""
  head = Pooled(label="order").build(2)
  ones = dict(kernel=np.zeros((2, 2), np.float32), bias=np.zeros(2, np.float32))
  classifier = ones | dict(bias=np.array([1.0, 3.0], np.float32))
  head = bind(head, {"pooler": ones, "classifier": classifier})
  loss = head.loss(np.zeros((3, 4, 2), np.float32), np.array([1, -1, 0]))
  right, wrong = np.log(np.e + np.e**3) - np.array([3.0, 1.0])
  assert float(loss) == pytest.approx((right + wrong) / 2, rel=1e-6)
  assert float(head.loss(np.zeros((1, 4, 2), np.float32), np.array([-1]))) == 0.0


def test_shared_layers_equal_layers_with_equal_values():
  spec = SPECS["albert/tiny"]
  apart = replace(spec, encoder=Stack(blocks=spec.encoder.blocks))
  params = contract.parameters(spec)
  copies = jax.tree.map(lambda p: np.repeat(p, 3, 0), params["encoder"]["blocks_0"])
  many = params | {"encoder": {"blocks_0": copies}}
  shared = contract.forward(spec)(params, batch(spec))
  contract.assert_close(shared, contract.forward(apart)(many, batch(spec)))
  assert count(apart) > count(spec)


def test_blocks_that_differ_cannot_be_shared():
  spec = SPECS["albert/tiny"]
  block = spec.encoder.blocks[0]
  other = replace(block, ffn=replace(block.ffn, hidden=8))
  with pytest.raises(ValueError, match="SharedStack.blocks must be equal"):
    SharedStack(blocks=(block, other))

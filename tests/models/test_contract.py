"""The contract: what every architecture of the zoo keeps, at its tiny size.

A new family is tested here the moment it has a row `tiny` or `tiny_<what>`. Models that
are equal specs (mT5 and T5 v1.1) are computed once.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models.components.execution import Execution
from models.components.mask import Causal, PrefixCausal
from models.components.model import EncoderDecoder, Memory, Pass
from models.components.param import bind, declarations, flatten, nested
from models.components.spec import replace, swap
from models.row import ENCODER
from models.zoo import ZOO
from partitioning.axes import AXES

# Encoders have a contract of their own, test_contract_encoders.py.
TINY = {
  name: row.spec()
  for name, row in ZOO.items()
  if "/tiny" in name and row.kind != ENCODER
}
PREFIX = "prefix language model"
SPECS = TINY | {PREFIX: swap(TINY["llama2/tiny"], Causal, PrefixCausal())}
ROWS, LENGTH = 2, 16
# Of the largest value. Rounding only: float32 has 24 bits, and scanned, unrolled, cached
# or recomputed layers sum in another order, and so round in other places.
CLOSE = 1e-5
# LLVM's optimizations take most of the compilation and are not what is tested here.
FAST_COMPILE = {"xla_backend_optimization_level": 0}
PLAIN = Execution(scan=False, attention="einsum")
EXECUTIONS = {
  "scanned": Execution(),
  "scanned, recomputing everything": Execution(remat="full"),
  "scanned, recomputing all but products": Execution(remat="dots"),
}
# A key's bias shifts all scores of a query by the same amount, which a softmax does not
# see; centroids that only assign, as in CPM-2, have no weight to be learned by.
NO_GRADIENT = ("attention/key/bias", "router/centroids")


def assert_close(actual, expected):
  """Equal to rounding."""
  assert np.abs(actual - expected).max() <= CLOSE * np.abs(expected).max()


def jit(function):
  return jax.jit(function, compiler_options=FAST_COMPILE)


@functools.cache
def parameters(spec) -> dict:
  """Values under which every parameter matters; drawn with NumPy, which compiles nothing."""
  rng = np.random.default_rng(0)
  values = {}
  for path, declared in declarations(spec).items():
    noise = rng.standard_normal(declared.shape, np.float32)
    values[path] = 1 + 0.1 * noise if path.endswith("/scale") else 0.15 * noise
  return nested(values)


@functools.cache
def module(spec):
  return spec.build()


def batch(spec) -> dict[str, np.ndarray]:
  """Full rows of random tokens; a prefix model sees the first five in both directions."""
  rng = np.random.default_rng(0)
  tokens = rng.integers(1, spec.vocab, (2, ROWS, LENGTH)).astype(np.int32)
  data = {
    "decoder_input_tokens": tokens[0],
    "decoder_segment_ids": np.ones((ROWS, LENGTH), np.int32),
    "decoder_positions": np.tile(np.arange(LENGTH, dtype=np.int32), (ROWS, 1)),
    "decoder_causal_attention": np.tile(np.int32(np.arange(LENGTH) < 5), (ROWS, 1)),
  }
  if isinstance(spec, EncoderDecoder):
    data |= {
      "encoder_input_tokens": tokens[1],
      "encoder_segment_ids": np.ones((ROWS, LENGTH), np.int32),
      "encoder_positions": data["decoder_positions"],
    }
  return data


@functools.cache
def forward(spec):
  """(params, batch) -> logits, compiled once for all tests."""

  def run(params, data):
    model = bind(module(spec), params)
    return model.logits(model(data)[0])

  return jit(run)


@functools.cache
def loss_and_gradients(spec, execution) -> tuple[float, dict]:
  """Of a loss in which every logit counts."""

  def loss(params, data):
    model = bind(module(spec), params)
    hidden, _ = model(data, Pass(execution=execution))
    logits = model.logits(hidden)
    return jnp.mean(jax.nn.logsumexp(logits, axis=-1) - logits[..., 3])

  value, grads = jit(jax.value_and_grad(loss))(parameters(spec), batch(spec))
  return float(value), flatten(jax.tree.map(np.asarray, grads))


@pytest.mark.parametrize("name", SPECS)
def test_every_axis_is_in_the_dictionary(name):
  declared = declarations(SPECS[name]).values()
  assert {axis for d in declared for axis in d.axes} <= set(AXES)


@pytest.mark.parametrize("name", ZOO)
def test_every_axis_has_one_name_per_dimension(name):
  for path, declared in declarations(ZOO[name].spec()).items():
    assert len(declared.axes) == len(declared.shape) == len(set(declared.axes)), path


@pytest.mark.parametrize("name", SPECS)
def test_logits_are_finite_float32_of_the_right_shape(name):
  spec = SPECS[name]
  logits = forward(spec)(parameters(spec), batch(spec))
  assert logits.shape == (ROWS, LENGTH, spec.vocab)
  assert logits.dtype == jnp.float32
  assert jnp.all(jnp.isfinite(logits))


@pytest.mark.parametrize("name", SPECS)
def test_a_token_does_not_change_what_comes_before_it(name):
  spec, at = SPECS[name], 9
  data = batch(spec)
  changed = {k: v.copy() for k, v in data.items()}
  changed["decoder_input_tokens"][:, at] += 1
  changed["decoder_input_tokens"] %= spec.vocab
  old, new = (forward(spec)(parameters(spec), d) for d in (data, changed))
  np.testing.assert_array_equal(old[:, :at], new[:, :at])
  assert np.all(np.abs(old[:, at:] - new[:, at:]).max(axis=-1) > 1e-4)


def test_a_prefix_sees_itself_in_both_directions():
  spec = SPECS[PREFIX]
  data = batch(spec)
  changed = {k: v.copy() for k, v in data.items()}
  changed["decoder_input_tokens"][:, 4] += 1
  old, new = (forward(spec)(parameters(spec), d) for d in (data, changed))
  assert np.all(np.abs(old - new).max(axis=-1) > 1e-4)


@pytest.mark.parametrize("name", SPECS)
def test_every_parameter_has_a_finite_gradient_that_is_not_zero(name):
  _, grads = loss_and_gradients(SPECS[name], PLAIN)
  assert grads.keys() == declarations(SPECS[name]).keys()
  for path, grad in grads.items():
    assert np.all(np.isfinite(grad)), path
    # Layer by layer, where layers are stacked.
    rows = grad.reshape(grad.shape[0] if "blocks_" in path else 1, -1)
    if not path.endswith(NO_GRADIENT):
      assert np.all(np.abs(rows).max(axis=1) > 0), path


@pytest.mark.parametrize("name", SPECS)
def test_scan_equals_a_loop_with_the_definition_of_attention(name):
  assert_equal_numbers(SPECS[name], EXECUTIONS["scanned"])


@pytest.mark.parametrize("name", ["t5_1_1/tiny", "llama3_1/tiny"])
@pytest.mark.parametrize("execution", list(EXECUTIONS)[1:])
def test_recomputation_changes_no_number(name, execution):
  assert_equal_numbers(SPECS[name], EXECUTIONS[execution])


def assert_equal_numbers(spec, execution):
  """The same loss, and the same gradient of the same parameters."""
  plain_loss, plain = loss_and_gradients(spec, PLAIN)
  loss, grads = loss_and_gradients(spec, execution)
  assert abs(loss - plain_loss) <= CLOSE * abs(plain_loss)
  assert grads.keys() == plain.keys()
  floor = 1e-7 * max(np.abs(grad).max() for grad in plain.values())
  for path, grad in grads.items():
    assert grad.shape == plain[path].shape
    difference = np.abs(grad - plain[path]).max()
    assert difference <= CLOSE * np.abs(plain[path]).max() + floor, path


@pytest.mark.parametrize("name", ["t5_1_1/tiny", "gpt2/tiny"])
def test_dropout_masks_do_not_depend_on_the_execution(name):
  plain, scanned = (hidden(name, 0.1, e, 7) for e in (PLAIN, EXECUTIONS["scanned"]))
  assert_close(scanned, plain)
  assert np.abs(plain - hidden(name, 0.1, PLAIN, 8)).max() > 0.1


def test_a_dropout_key_without_dropout_changes_nothing():
  with_key = hidden("t5_1_1/tiny", 0.0, EXECUTIONS["scanned"], 7)
  np.testing.assert_array_equal(
    with_key, hidden("t5_1_1/tiny", 0.0, EXECUTIONS["scanned"], 8)
  )


@functools.cache
def hidden(name, dropout, execution, seed):
  """What the head sees, with a dropout key."""
  spec = replace(SPECS[name], dropout=dropout)

  def run(params, data, key):
    return bind(module(spec), params)(data, Pass(execution=execution, key=key))[0]

  return np.asarray(jit(run)(parameters(spec), batch(spec), jax.random.key(seed)))


@pytest.mark.parametrize("name", ["t5_1_1/tiny", "gpt2/tiny", "llama3_2/tiny"])
def test_half_precision_loses_no_more_than_its_parameters_do(name):
  """Rounding parameters to bfloat16 and computing in float32 is the unavoidable part."""
  spec = SPECS[name]
  execution = Execution(compute_dtype="bfloat16")

  def run(params, data):
    model = bind(module(spec), params)
    hidden, _ = model(data, Pass(execution=execution))
    return hidden, model.logits(hidden)

  low, logits = jit(run)(parameters(spec), batch(spec))
  assert low.dtype == jnp.bfloat16
  assert logits.dtype == jnp.float32
  rounded = jax.tree.map(
    lambda x: np.float32(np.asarray(x, low.dtype)), parameters(spec)
  )
  exact, unavoidable = (
    forward(spec)(p, batch(spec)) for p in (parameters(spec), rounded)
  )
  assert 0 < np.std(logits - exact) < 3 * np.std(unavoidable - exact)


def test_a_cache_longer_than_the_learned_positions_is_an_error():
  spec = SPECS["gpt2/tiny"]
  params, data = parameters(spec), batch(spec)
  model = bind(module(spec), params)
  cache = model.decoder.empty_cache(ROWS, 513, jnp.float32)
  with pytest.raises(ValueError, match="513 tokens does not fit Learned.length=512"):
    model.decode(data, cache=cache, index_B=jnp.zeros(ROWS, jnp.int32))


@pytest.mark.parametrize("name", SPECS)
def test_documents_packed_into_one_row_do_not_see_each_other(name):
  spec = SPECS[name]
  together, apart = packed_and_separate(spec)
  logits = forward(spec)(parameters(spec), together)
  alone = forward(spec)(parameters(spec), apart)
  assert_close(logits[0, :7], alone[0, :7])
  assert_close(logits[0, 7:12], alone[1, :5])


def packed_and_separate(spec):
  """Row 0 of the first holds documents of 7 and 5 tokens, the second one a row each."""
  data = batch(spec)
  together = {k: np.zeros_like(v) for k, v in data.items()}
  apart = {k: np.zeros_like(v) for k, v in data.items()}
  for name in data:
    one, two = data[name][0, :7], data[name][1, :5]
    if name.endswith("segment_ids"):
      together[name][0, :12] = [1] * 7 + [2] * 5
      apart[name][0, :7] = apart[name][1, :5] = 1
      continue
    together[name][0, :7], together[name][0, 7:12] = one, two
    apart[name][0, :7], apart[name][1, :5] = one, two
  return together, apart


@pytest.mark.parametrize("name", SPECS)
def test_cached_decoding_equals_the_full_pass(name):
  """Prompts of 3 and 7 tokens in one batch, then each row goes on at its own index."""
  spec, lengths = SPECS[name], np.array([3, 7])
  data, params = batch(spec), parameters(spec)
  data["decoder_causal_attention"] = np.int32(np.arange(LENGTH) < lengths[:, None])
  if isinstance(spec, EncoderDecoder):
    data["encoder_segment_ids"][1, 11:] = 0
  full = forward(spec)(params, data)
  memory, cache = jit(functools.partial(start, spec))(params, data)
  step = jit(functools.partial(decode, spec))
  width = lengths.max()
  logits, cache = step(params, memory, cache, window(data, np.zeros(2, int), width))
  for row, length in enumerate(lengths):
    assert_close(logits[row, :length], full[row, :length])
  for offset in range(LENGTH - width):
    at = lengths + offset
    logits, cache = step(params, memory, cache, window(data, at, 1))
    assert_close(logits[:, 0], full[np.arange(ROWS), at])


def start(spec, params, data):
  """The encoder's output, if any, and an empty cache."""
  model = bind(module(spec), params)
  cache = model.decoder.empty_cache(ROWS, LENGTH, jnp.float32)
  if not isinstance(spec, EncoderDecoder):
    return None, cache
  memory, _ = model.encode(data)
  cross = model.decoder.cross_cache(memory.output_BSD)
  cache = {block: cache[block] | cross[block] for block in cache}
  return (memory.output_BSD, memory.segments_BS), cache


def decode(spec, params, memory, cache, call):
  """Logits of the new tokens, and the cache that holds them."""
  model = bind(module(spec), params)
  if memory is not None:
    memory = Memory(output_BSD=memory[0], segments_BS=memory[1])
  index = call.pop("index")
  hidden, cache, _ = model.decode(call, memory=memory, cache=cache, index_B=index)
  return model.logits(hidden), cache


def window(data, start_B, width):
  """`width` tokens of every row, from its own index on."""
  index = start_B[:, None] + np.arange(width)
  return {
    "decoder_input_tokens": np.take_along_axis(data["decoder_input_tokens"], index, 1),
    "decoder_positions": index.astype(np.int32),
    "decoder_causal_attention": data["decoder_causal_attention"],
    "index": start_B.astype(np.int32),
  }

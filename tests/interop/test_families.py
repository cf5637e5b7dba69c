"""Every format: transformers' folder -> ours -> transformers' folder, with its numbers.

The cases are those of the parity tests, so a model that is compared there is imported
and exported here. `pytest -s` prints the table.
"""

import dataclasses
import functools
import re
import tempfile
from pathlib import Path

import jax
import numpy as np
import parity_table
import pytest
import safetensors.numpy
import test_parity as parity
import test_parity_gpt as gpt
import test_parity_mixtures as mixtures
import test_parity_parallel as parallel
import torch
import transformers

from models.components.model import EncoderDecoder
from models.components.param import bind, declarations, nested
from t5x_like.interop import hf
from t5x_like.interop.attributes import read_json
from t5x_like.interop.exporting import export_model, restored
from t5x_like.interop.formats.index import FORMATS
from t5x_like.interop.importing import import_model
from t5x_like.interop.names import to_ours

LOGITS = 2e-5  # of the largest one, as in the parity tests; their reasons hold here
# Only on full rows does transformers' Switch compute what its paper says.
CASES = parity.CASES | mixtures.CASES | gpt.CASES | parallel.CASES
MIXTURES = mixtures.LOGITS
TOKENS = 40


@dataclasses.dataclass(frozen=True)
class Trip:
  """One model on its way: `theirs` saved in `source`, imported, exported to `back`."""

  theirs: torch.nn.Module
  source: Path
  back: Path
  format: hf.Format
  spec: object
  params: dict


@functools.cache
def trip(name: str) -> Trip:
  folder = Path(tempfile.mkdtemp())
  source, run, back = folder / "source", folder / "run", folder / "back"
  theirs = parity.randomized(CASES[name].theirs())
  theirs.save_pretrained(source)
  import_model(source, run)
  config = read_json(source / "config.json")
  format = hf.find(config, FORMATS)
  stored = safetensors.numpy.load_file(source / "model.safetensors")
  spec = format.made(config, stored.keys()).spec()
  params = restored(spec, str(run), None)
  export_model(spec, params, back, base=config)
  return Trip(theirs, source, back, format, spec, params)


def inputs(encoder: bool) -> dict[str, np.ndarray]:
  """A full row."""
  rng = np.random.default_rng(1)
  sides = ("encoder", "decoder") if encoder else ("decoder",)
  return {
    f"{side}_input_tokens": rng.integers(1, parity.VOCAB, (1, TOKENS)) for side in sides
  }


def their_logits(model, rows) -> np.ndarray:
  torch_rows = {name: torch.from_numpy(row) for name, row in rows.items()}
  with torch.no_grad():
    if "encoder_input_tokens" in rows:
      return model(
        input_ids=torch_rows["encoder_input_tokens"],
        decoder_input_ids=torch_rows["decoder_input_tokens"],
      ).logits.numpy()
    return model(input_ids=torch_rows["decoder_input_tokens"]).logits.numpy()


def our_logits(spec, params, rows) -> np.ndarray:
  module = spec.build()

  @functools.partial(jax.jit, compiler_options=parity.FAST_COMPILE)
  def run(params, rows):
    model = bind(module, params)
    return model.logits(model(rows)[0])

  return np.asarray(run(nested(params), rows))


def relative(ours, theirs) -> float:
  return np.abs(ours - theirs).max() / np.abs(theirs).max()


@pytest.mark.parametrize("name", CASES)
def test_config_json_says_the_architecture(name):
  assert hf.essence(trip(name).spec) == hf.essence(CASES[name].spec)


@pytest.mark.parametrize("name", CASES)
def test_an_imported_model_computes_what_transformers_computes(name):
  one = trip(name)
  rows = inputs(isinstance(one.spec, EncoderDecoder))
  difference = relative(
    our_logits(one.spec, one.params, rows), their_logits(one.theirs, rows)
  )
  print(f"\n{name:<32}logits {difference:.1e}", end="")
  assert difference <= (MIXTURES if name in mixtures.CASES else LOGITS)


@pytest.mark.parametrize("name", CASES)
def test_what_is_exported_is_byte_by_byte_what_was_imported(name):
  one = trip(name)
  stored = safetensors.numpy.load_file(one.source / "model.safetensors")
  written = safetensors.numpy.load_file(one.back / "model.safetensors")
  assert written.keys() == one.format.names(one.spec)
  assert set(stored) - set(written) <= {
    name
    for name in stored
    if any(re.fullmatch(pattern, name) for pattern, _ in one.format.copies)
  }
  for key, array in written.items():
    assert array.dtype == stored[key].dtype
    assert array.tobytes() == stored[key].tobytes(), key


@pytest.mark.parametrize("name", CASES)
def test_transformers_loads_what_is_exported(name, update_golden):
  one = trip(name)
  kind = getattr(transformers, one.format.architecture)
  loaded, notes = kind.from_pretrained(
    one.back, output_loading_info=True, attn_implementation="eager"
  )
  assert not notes["unexpected_keys"] and not notes["mismatched_keys"]
  if one.format.model_type == "umt5":  # before 5.24 its class always scales
    loaded.config.tie_word_embeddings = False
  rows = inputs(isinstance(one.spec, EncoderDecoder))
  assert relative(their_logits(loaded, rows), their_logits(one.theirs, rows)) <= 1e-6
  parity_table.note(update_golden, name, trip="yes")


@pytest.mark.parametrize("name", CASES)
def test_a_spec_alone_is_enough_to_export_it(name):
  one = trip(name)
  format, config = hf.fitting(one.spec, FORMATS)
  again = format.made(config, format.names(one.spec)).spec()
  assert hf.essence(again) == hf.essence(one.spec)


@pytest.mark.parametrize("name", CASES)
def test_the_path_table_has_each_parameter_once(name):
  one = trip(name)
  slots = [slot for row in one.format.rows(one.spec) for slot in row.ours]
  assert len(slots) == len(set(slots))
  names = [n for row in one.format.rows(one.spec) for n in row.theirs]
  assert len(names) == len(set(names))
  assert {path for path, _ in slots} == one.params.keys()


@pytest.mark.parametrize("name", ["GPT-2", "LLaMA 2, 2 of 4 key heads"])
def test_a_misshapen_tensor_is_named(name):
  one = trip(name)
  stored = safetensors.numpy.load_file(one.source / "model.safetensors")
  key = next(
    name for name in stored if name.endswith(("c_fc.weight", "up_proj.weight"))
  )
  stored[key] = stored[key][:-1]
  with pytest.raises(ValueError, match=key):
    to_ours(one.format.rows(one.spec), stored, declarations(one.spec))


def test_the_guide_names_every_model_type(root):
  text = (root / "docs" / "interop.md").read_text()
  for format in FORMATS:
    assert f"`{format.model_type}`" in text and f"`{format.architecture}`" in text

"""Encoders: transformers' folder -> ours -> transformers' folder, byte by byte."""

import numpy as np
import parity_table
import pytest
import safetensors.numpy
import test_parity_encoders as encoders

from t5x_like.interop import hf
from t5x_like.interop.attributes import read_json
from t5x_like.interop.exporting import export_model, restored
from t5x_like.interop.formats.index import FORMATS
from t5x_like.interop.importing import import_model


@pytest.mark.parametrize("name", encoders.CASES)
def test_a_folder_comes_back_as_it_was(name, tmp_path, update_golden):
  case = encoders.CASES[name]
  source, run, back = tmp_path / "source", tmp_path / "run", tmp_path / "back"
  encoders.parity.randomized(case.theirs()).save_pretrained(source)
  import_model(source, run)
  config = read_json(source / "config.json")
  format = hf.find(config, FORMATS)
  before = safetensors.numpy.load_file(source / "model.safetensors")
  spec = format.made(config, before.keys()).spec()
  assert hf.essence(spec) == hf.essence(case.spec)
  export_model(spec, restored(spec, str(run), None), back, base=config)
  after = safetensors.numpy.load_file(back / "model.safetensors")
  for key in after:
    np.testing.assert_array_equal(after[key], before[key], err_msg=key)
  _, loaded = case.model.from_pretrained(back, output_loading_info=True)
  assert not loaded["missing_keys"] and not loaded["unexpected_keys"]
  parity_table.note(update_golden, name, trip="yes")


def test_layers_that_share_nothing_are_refused(tmp_path):
  config = dict(model_type="albert", num_hidden_groups=2)
  with pytest.raises(ValueError, match="num_hidden_groups=2 changes what the model"):
    next(f for f in FORMATS if f.model_type == "albert").made(config, [])


def test_norms_of_2018_are_read(tmp_path):
  """The released bert-base-uncased says LayerNorm.gamma and LayerNorm.beta."""
  case = encoders.CASES["BERT"]
  new, old = tmp_path / "new", tmp_path / "old"
  encoders.parity.randomized(case.theirs()).save_pretrained(new)
  old.mkdir()
  (old / "config.json").write_text((new / "config.json").read_text())
  tensors = safetensors.numpy.load_file(new / "model.safetensors")
  names = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
  for key in list(tensors):
    for now, then in names.items():
      if key.endswith(now):
        tensors[key.replace(now, then)] = tensors.pop(key)
  safetensors.numpy.save_file(tensors, old / "model.safetensors")
  assert import_model(old, tmp_path / "a")["parameters"] > 0

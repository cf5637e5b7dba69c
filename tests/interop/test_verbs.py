"""The verbs `import` and `export`: folders, tokenizers, shards, and every refusal."""

import dataclasses
import functools
import json
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import tokenizers
import torch
import transformers

from models.components.norm import LayerNorm, RMSNorm
from models.components.param import declarations, draw, flatten
from models.components.position import Llama3Scaling
from models.components.spec import swap
from models.families.llama import llama
from models.zoo import ZOO
from t5x_like import config, main
from t5x_like.interop import gin_model, hf
from t5x_like.interop.exporting import export_model
from t5x_like.interop.formats.index import FORMATS
from t5x_like.interop.weights import Tensors, files

VOCAB = 300
TEXT = "the cat sat on the mat"


@functools.cache
def saved() -> Path:
  """A GPT-2 with a tokenizer, in 16 bits and several shards."""
  folder = Path(tempfile.mkdtemp())
  torch.manual_seed(0)
  model = transformers.GPT2LMHeadModel(
    transformers.GPT2Config(
      vocab_size=VOCAB,
      n_embd=32,
      n_layer=2,
      n_head=4,
      n_positions=64,
      bos_token_id=1,
      eos_token_id=0,
    )
  )
  model.to(torch.bfloat16).save_pretrained(folder, max_shard_size="30KB")
  byte_level = tokenizers.pre_tokenizers.ByteLevel
  tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
  tokenizer.pre_tokenizer = byte_level(add_prefix_space=False)
  tokenizer.decoder = tokenizers.decoders.ByteLevel()
  trainer = tokenizers.trainers.BpeTrainer(
    vocab_size=VOCAB,
    special_tokens=["<|end|>", "<|begin|>"],
    initial_alphabet=byte_level.alphabet(),
    show_progress=False,
  )
  tokenizer.train_from_iterator([TEXT] * 10, trainer)
  fast = transformers.PreTrainedTokenizerFast(
    tokenizer_object=tokenizer, eos_token="<|end|>", bos_token="<|begin|>"
  )
  fast.save_pretrained(folder)
  return folder


@pytest.fixture
def source(tmp_path) -> Path:
  """A copy of it that a test may spoil."""
  return Path(shutil.copytree(saved(), tmp_path / "source"))


def change(file: Path, **values) -> None:
  file.write_text(json.dumps(json.loads(file.read_text()) | values))


def refused(capsys, *words: str) -> str:
  """The one line of a mistake."""
  assert main.main(list(words)) == 2
  error = capsys.readouterr().err
  assert error.startswith("error: ") and error.count("\n") == 1
  return error


@pytest.fixture
def import_error(source, tmp_path, capsys):
  return lambda: refused(
    capsys, "import", f"--from={source}", f"--model_dir={tmp_path / 'run'}"
  )


def test_in_and_out_with_shards_tokenizer_and_16_bits(source, tmp_path, capsys):
  run, back = tmp_path / "run", tmp_path / "back"
  assert len(list(source.glob("*.safetensors"))) > 2
  assert main.main(["import", f"--from={source}", f"--model_dir={run}"]) == 0
  assert "infer --model_dir" in capsys.readouterr().out
  words = [f"--model_dir={run}", "--prompt=the cat", "--max_decode_len=4"]
  assert main.main(["infer", *words, "--json"]) == 0
  tokens = json.loads(capsys.readouterr().out)["prediction_tokens"]

  assert main.main(["export", f"--model_dir={run}", f"--to={back}", "--json"]) == 0
  done = json.loads(capsys.readouterr().out)
  assert done["architecture"] == "GPT2LMHeadModel"
  before, after = Tensors(source), Tensors(back)
  assert set(before) == set(after) and after.dtypes == {"bfloat16"}
  for name in before:
    assert before[name].tobytes() == after[name].tobytes(), name

  tokenizer = transformers.AutoTokenizer.from_pretrained(back)
  model = transformers.AutoModelForCausalLM.from_pretrained(back, dtype=torch.float32)
  prompt = tokenizer("<|begin|>the cat", return_tensors="pt")
  written = model.generate(**prompt, max_new_tokens=4, do_sample=False)
  assert written[0, -4:].tolist() == tokens


def test_an_imported_model_is_inspected_and_trained_further(source, tmp_path, capsys):
  run, tuned = tmp_path / "run", tmp_path / "tuned"
  assert main.main(["import", f"--from={source}", f"--model_dir={run}"]) == 0
  (tmp_path / "text").write_text("\n".join([TEXT] * 4))
  words = [
    *(f"--gin_file={f}" for f in (run / "model.gin", "runs/finetune.gin")),
    f"--gin_file={run / 'vocabulary.gin'}",
    f"--gin.INITIAL_CHECKPOINT_PATH={run}",
    "--gin.MIXTURE_OR_TASK_NAME=text_files_causal_lm",
    f"--gin.TEXT_FILES={tmp_path / 'text'}",
    "--gin.TASK_FEATURE_LENGTHS={'targets': 16}",
    "--gin.TRAIN_STEPS=1",
    "--gin.BATCH_SIZE=2",
    "--gin.EVAL_STEPS=0",
    f"--gin.MODEL_DIR={tuned}",
    f"--data_dir={tmp_path / 'data'}",
  ]
  assert main.main(["train", *words]) == 0
  assert main.main(["export", f"--model_dir={tuned}", f"--to={tmp_path / 'out'}"]) == 0
  loaded = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
  assert loaded(TEXT).input_ids
  before, after = Tensors(source), Tensors(tmp_path / "out")
  name = "transformer.wte.weight"
  assert (before[name] != after[name]).any(), "it has been trained"


def test_a_missing_shard_is_named(source, import_error):
  shard = sorted(source.glob("model-*.safetensors"))[1]
  shard.unlink()
  assert shard.name in import_error()


def test_a_shard_that_was_cut_short_is_named(source, import_error):
  shard = sorted(source.glob("model-*.safetensors"))[0]
  shard.write_bytes(shard.read_bytes()[:-10])
  assert f"{shard.name} is no complete safetensors file" in import_error()


def test_pickles_are_refused_with_the_reason(source, import_error):
  for file in files(source):
    file.unlink()
  (source / "model.safetensors.index.json").unlink()
  torch.save({}, source / "pytorch_model.bin")
  assert "opening a pickle runs the program in it" in import_error()


def test_a_folder_without_weights(source, import_error):
  for file in source.glob("model*"):
    file.unlink()
  assert "holds neither model.safetensors nor" in import_error()


def one_file(source: Path, change) -> None:
  """The shards as one file, after `change(tensors)`."""
  tensors = {name: array for name, array in Tensors(source).items()}
  change(tensors)
  for file in source.glob("model*"):
    file.unlink()
  safetensors.numpy.save_file(tensors, source / "model.safetensors")


def test_weights_that_are_no_floats_are_refused(source, import_error):
  def quantize(tensors):
    name = "transformer.h.1.mlp.c_fc.weight"
    tensors[name] = tensors[name].astype(np.int8)

  one_file(source, quantize)
  assert "transformer.h.1.mlp.c_fc.weight is stored as I8" in import_error()


def test_a_missing_tensor_is_named(source, import_error):
  one_file(source, lambda tensors: tensors.pop("transformer.h.1.ln_2.bias"))
  assert "transformer.h.1.ln_2.bias is not among those stored" in import_error()


def test_a_tensor_without_a_place_is_named(source, import_error):
  one_file(
    source, lambda t: t.update({"transformer.h.0.adapter": t["transformer.ln_f.bias"]})
  )
  assert "no place in the model" in import_error()


def test_a_second_copy_of_a_tied_table_has_to_be_the_same(source, import_error):
  one_file(
    source, lambda t: t.update({"lm_head.weight": t["transformer.wte.weight"] + 1})
  )
  assert "lm_head.weight and transformer.wte.weight differ" in import_error()


def test_names_of_the_bare_model_are_understood(source, tmp_path):
  def bare(tensors):
    for name in list(tensors):
      tensors[name.removeprefix("transformer.")] = tensors.pop(name)
    tensors["h.0.attn.bias"] = np.zeros((1, 1), np.float32)  # a mask, not a bias

  one_file(source, bare)
  run = tmp_path / "run"
  assert main.main(["import", f"--from={source}", f"--model_dir={run}"]) == 0


@pytest.mark.parametrize(
  "values, message",
  [
    ({"scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx=True"),
    ({"activation_function": "relu"}, "activation_function='relu' changes"),
    ({"window": 128}, "nothing here understands window=128"),
    ({"model_type": "gpt5"}, "model_type='gpt5' is not known here"),
    ({"quantization_config": {"bits": 4}}, "quantized"),
    ({"n_layer": 3}, "transformer.h.2.ln_1.weight is not among those stored"),
    ({"n_embd": 64}, "does not fit the model of config.json"),
    ({"vocab_size": None}, "config.json has no 'vocab_size'"),
  ],
)
def test_a_config_that_means_something_else_is_refused(
  source, import_error, values, message
):
  change(source / "config.json", **values)
  assert message in import_error()


def test_a_folder_that_is_in_use_is_left_alone(source, tmp_path, capsys, import_error):
  (tmp_path / "run").mkdir()
  (tmp_path / "run" / "mine").write_text("")
  assert "is not empty" in import_error()
  error = refused(
    capsys, "export", f"--model_dir={tmp_path}", f"--to={tmp_path / 'run'}"
  )
  assert "no config.gin" in error


# Models made here


def drawn(spec) -> dict:
  return {
    k: np.asarray(v) for k, v in flatten(draw(declarations(spec), seed=0)).items()
  }


def test_a_model_made_here_is_written_in_shards_and_loads(tmp_path):
  spec = ZOO["llama2/tiny"].spec()
  export_model(spec, drawn(spec), tmp_path, shard=100_000)
  assert len(files(tmp_path)) > 1
  loaded = transformers.AutoModelForCausalLM.from_pretrained(tmp_path)
  assert sum(p.numel() for p in loaded.parameters()) == sum(
    d.size for d in declarations(spec).values()
  )


def test_a_part_that_transformers_lacks_is_refused(tmp_path):
  spec = swap(ZOO["llama/tiny"].spec(), RMSNorm, LayerNorm())
  with pytest.raises(ValueError, match="No class of transformers computes this model"):
    export_model(spec, {}, tmp_path)
  assert not list(tmp_path.iterdir())


def test_the_nearest_class_is_named_with_the_difference():
  attention = ZOO["llama/tiny"].spec().decoder.blocks[0].attention
  scaled = dataclasses.replace(attention, scale=0.5)
  with pytest.raises(ValueError, match="llama.*scale: theirs None, ours 0.5"):
    hf.fitting(swap(ZOO["llama/tiny"].spec(), type(attention), scaled), FORMATS)


def test_an_imported_model_as_gin_is_the_same_value(tmp_path):
  sizes = dict(dim=32, hidden=48, heads=4, layers=2)
  arguments = sizes | dict(rope_scaling=Llama3Scaling(factor=4.0), eps=1e-6)
  file = tmp_path / "model.gin"
  file.write_text(gin_model.text(llama, arguments, comment="A model."))
  assert config.parse([str(file)]).build_model() == llama(**arguments)


def test_a_decoder_trained_here_writes_the_same_there(tmp_path, capsys):
  (tmp_path / "text").write_text(Path(__file__).read_text())
  run, out = tmp_path / "run", tmp_path / "out"
  words = [
    "--gin_file=models/llama/tiny.gin",
    "--gin_file=runs/pretrain.gin",
    "--gin.MIXTURE_OR_TASK_NAME=text_files_causal_lm",
    f"--gin.TEXT_FILES={tmp_path / 'text'}",
    "--gin.VOCABULARY_SIZE=600",
    "--gin.llama.llama.vocab=600",
    "--gin.TASK_FEATURE_LENGTHS={'targets': 32}",
    "--gin.TRAIN_STEPS=2",
    "--gin.BATCH_SIZE=4",
    "--gin.EVAL_STEPS=0",
    f"--gin.MODEL_DIR={run}",
    f"--data_dir={tmp_path / 'data'}",
  ]
  assert main.main(["train", *words]) == 0
  capsys.readouterr()
  flags = [f"--model_dir={run}", "--prompt=the cat", "--max_decode_len=4", "--json"]
  assert main.main(["infer", *flags]) == 0
  tokens = json.loads(capsys.readouterr().out)["prediction_tokens"]
  assert main.main(["export", f"--model_dir={run}", f"--to={out}"]) == 0
  tokenizer = transformers.AutoTokenizer.from_pretrained(out)
  model = transformers.AutoModelForCausalLM.from_pretrained(out)
  prompt = tokenizer("the cat", return_tensors="pt", return_token_type_ids=False)
  written = model.generate(**prompt, max_new_tokens=4, do_sample=False)
  assert written[0, prompt["input_ids"].shape[1] :].tolist() == tokens
  assert model.config.eos_token_id == tokenizer.eos_token_id == 1

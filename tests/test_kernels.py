"""t5x_like/kernels.py: the kernels that a summary names are those that run."""

import dataclasses

import pytest

from models.components import attend
from models.components.bias import ALiBi
from models.components.execution import Execution
from models.components.mask import Windowed
from models.families import llama, t5
from models.row import ENCODER
from models.zoo import ZOO
from t5x_like.kernels import report

LENGTHS = {"encoder": 64, "decoder": 32}
T5 = t5.t5_1_1(dim=16, hidden=32, heads=2, head_dim=8, layers=2, vocab=64)
LLAMA = llama.llama(dim=16, hidden=32, heads=2, layers=6, vocab=64)


def kernels(model, lengths=LENGTHS, rows=4, **execution):
  return report(model, Execution(**execution), lengths=lengths, rows=rows)


def test_every_part_of_a_model_has_its_kernel():
  assert kernels(T5) == {
    "encoder self-attention": "rows",
    "decoder self-attention": "rows",
    "decoder cross-attention": "rows",
  }


def test_layers_are_named_where_they_differ(monkeypatch):
  """Layers 1, 2 and 5 have ALiBi, and a bias is what splash refuses."""
  plain = LLAMA.decoder.blocks[0]
  biased = dataclasses.replace(
    plain, attention=dataclasses.replace(plain.attention, position=ALiBi())
  )
  blocks = (plain, biased, biased, plain, plain, biased)
  decoder = dataclasses.replace(LLAMA.decoder, blocks=blocks)
  mixed = dataclasses.replace(LLAMA, decoder=decoder)

  def choose(kernel, call, *, q, k, bias):
    return ("splash", {}) if bias is None else ("einsum", {"splash": "no bias"})

  monkeypatch.setattr(attend, "choose", choose)
  text = kernels(mixed)["decoder self-attention"]
  assert text == (
    "splash in layers 0, 3-4 and einsum in layers 1-2, 5 (splash refused: no bias)"
  )


def test_reasons_stand_beside_the_choice():
  dropping = dataclasses.replace(LLAMA, dropout=0.1)
  text = kernels(dropping)["decoder self-attention"]
  assert text.startswith(
    "einsum (rows refused: attention dropout is computed by einsum"
  )
  long = kernels(LLAMA, {"decoder": 8192})["decoder self-attention"]
  assert long == "blockwise (rows refused: 512 MiB of scores a row would exist at once)"


def test_strict_names_the_layer_the_kernel_and_the_reason():
  windowed = dataclasses.replace(
    LLAMA.decoder.blocks[0].attention, mask=Windowed(window=8)
  )
  block = dataclasses.replace(LLAMA.decoder.blocks[0], attention=windowed)
  odd = dataclasses.replace(
    LLAMA, decoder=dataclasses.replace(LLAMA.decoder, blocks=(block,) * 2)
  )
  lengths = {"decoder": 31}
  assert kernels(odd, lengths, attention=["cudnn", "rows"], strict=True)
  message = (
    "decoder self-attention of layer 0 would fall back to einsum, for blockwise "
    "refuses: length 31 has no divisor"
  )
  with pytest.raises(ValueError, match=message):
    kernels(odd, lengths, attention=["cudnn", "blockwise", "einsum"], strict=True)


@pytest.mark.parametrize("name", [n for n in ZOO if "/tiny" in n])
def test_every_architecture_has_a_summary(name):
  row = ZOO[name]
  sides = ("encoder",) if row.kind == ENCODER else ("encoder", "decoder")
  model = row.spec()
  found = kernels(model, {side: 32 for side in sides})
  assert {place.split()[0] for place in found} == {
    side for side in sides if getattr(getattr(model, side, None), "blocks", ())
  }

"""t5x_like/zoo.py: lists, filters, costs and differences."""

import json

import parity_table
import pytest

from models.components import param
from models.zoo import ZOO
from t5x_like import main, zoo
from t5x_like.interop import hf
from t5x_like.interop.formats.index import FORMATS


def printed(capsys, *words: str) -> str:
  assert main.main(["zoo", *words]) == 0
  return capsys.readouterr().out


def test_every_row_is_listed_with_its_count(capsys):
  rows = json.loads(printed(capsys, "--json"))
  assert [row["name"] for row in rows] == list(ZOO)
  keys = "name family kind year paper parameters published counted_as reference"
  for row in rows:
    assert row.keys() == set(keys.split())
    assert row["published"] in (None, row["parameters"]) or row["counted_as"]


def test_filters_add_up(capsys):
  words = ["--family=llama2", "--size=7b", "--json"]
  assert [row["name"] for row in json.loads(printed(capsys, *words))] == ["llama2/7b"]
  assert printed(capsys, "llama2") == printed(capsys, "--family=llama2")
  lines = printed(capsys, "--kind=encoder-decoder").splitlines()
  assert lines[0].startswith("name") and "t5/base" in lines[3]
  assert not any("llama" in line for line in lines)


def test_a_model_is_described_with_what_it_costs(capsys):
  text = printed(capsys, "llama2/7b", "--length=4096")
  assert "32 x Block(" in text and "6,738,415,616" in text
  report = json.loads(printed(capsys, "llama2/7b", "--length=4096", "--json"))
  # Two vectors of 32 heads of 128, in 32 layers, 2 bytes an element.
  assert report["cache bytes a token (16 bit)"] == 2 * 32 * 128 * 32 * 2
  # 2 for every weight of a product, and scores of half a row: 2 x 2 x 4096 x 2048.
  kernels = 6_738_415_616 - 65 * 4096 - 32_000 * 4096
  scores = 32 * 4 * 4096 * 4097 // 2
  assert report["FLOPs a token (forward)"] == 2 * kernels + scores
  assert report["non-embedding"] == 6_738_415_616 - 2 * 32_000 * 4096


def test_the_cache_of_latent_attention_is_smaller():
  report = zoo.described(ZOO["deepseek_v2/236b"], length=128)
  # arXiv:2405.04434, section 2.1.4: (512 + 64) elements a token and layer, 60 layers.
  assert report["cache bytes a token (16 bit)"] == (512 + 64) * 60 * 2


def test_the_difference_of_two_models(capsys):
  lines = printed(capsys, "llama2/7b", "--diff=llama3/8b").splitlines()
  assert any(line.startswith("+") and "base=500000.0" in line for line in lines)
  assert printed(capsys, "llama/7b", "--diff=llama/7b").strip() == ""


@pytest.mark.parametrize(
  "words, message",
  [
    (["llama2/7c"], "no model 'llama2/7c' in the zoo; did you mean 'llama2/7b'?"),
    (["--kind=decoders"], "--kind=decoders: there is none"),
    (["--diff=llama/7b"], "t5x_like zoo MODEL --diff=OTHER"),
  ],
)
def test_a_mistake_is_told(words, message, capsys):
  assert main.main(["zoo", *words]) == 2
  assert message in capsys.readouterr().err


def test_encoders_and_decoders_count_their_own_tokens():
  report = zoo.described(ZOO["t5/tiny"], length=64)
  assert report["parameters"] == param.count(ZOO["t5/tiny"].spec())
  assert report["FLOPs a token (forward)"] > 0


# Room for experts as a share of a row, as in the paper; transformers has a number alone.
SHARES = {"switch/tiny", "switch/base_128", "switch/large_128"}
# Where two classes compute the same, the other one is written unless it is named.
NAMED = {"mt5": "mt5", "codegen": "codegen"}
WRITTEN = [n for n, row in ZOO.items() if row.reference.startswith("transformers.")]


@pytest.mark.parametrize("name", sorted(set(WRITTEN) - SHARES))
def test_the_class_that_a_row_is_compared_with_can_be_written_for_it(name):
  model_type = NAMED.get(ZOO[name].family)
  format, config = hf.fitting(ZOO[name].spec(), FORMATS, model_type)
  assert f"transformers.{format.architecture}" == ZOO[name].reference
  assert config["vocab_size"] == ZOO[name].spec().vocab


def test_the_page_of_the_zoo_is_up_to_date(root, update_golden):
  page = root / "docs" / "zoo.md"
  text = parity_table.text()
  if update_golden:
    page.write_text(text)
  assert page.read_text() == text, "pytest ... --update-golden, see parity_table.py"

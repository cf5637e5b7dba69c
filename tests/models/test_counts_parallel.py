"""Counts that papers give rounded, for decoders of models/zoo_parallel.py."""

import pytest

from models.components.param import count, declarations
from models.zoo import ZOO
from t5x_like import zoo

BILLION = 10**9


def embeddings(spec) -> int:
  """Elements of the token table, and of a head of its own."""
  names = ("token_embedder/embedding", "head/kernel")
  return sum(d.size for path, d in declarations(spec).items() if path in names)


# arXiv:2402.16819, section 2: "3.2 billion embedding parameters and 12.5 billion
# non-embedding parameters"; arXiv:2406.11704, section 2.1: 9.4 and 331.6.
@pytest.mark.parametrize(
  "name, tables, rest",
  [("nemotron4/15b", 3.2, 12.5), ("nemotron4/340b", 9.4, 331.6)],
)
def test_nemotron_has_the_published_tables_and_the_rest(name, tables, rest):
  spec = ZOO[name].spec()
  # A unit of the last digit: 3.146 is published as 3.2.
  assert embeddings(spec) == pytest.approx(tables * BILLION, abs=0.1 * BILLION)
  others = count(spec) - embeddings(spec)
  assert others == pytest.approx(rest * BILLION, abs=0.05 * BILLION)


# arXiv:2204.02311, table 1.
@pytest.mark.parametrize(
  "size, published", [("8b", 8.63), ("62b", 62.5), ("540b", 540.35)]
)
def test_palm_has_the_published_size(size, published):
  for family in ("palm", "u_palm"):
    counted = count(ZOO[f"{family}/{size}"].spec())
    # The last one is 540.356: a unit of the last digit.
    assert counted == pytest.approx(published * BILLION, abs=0.01 * BILLION)


def test_palm2_has_a_size_of_its_report():
  """arXiv:2305.10403, table 1."""
  spec = ZOO["palm2/10_7b"].spec()
  assert round((count(spec) - embeddings(spec)) / BILLION, 1) == 10.7


# arXiv:2312.11805, table 1; our shapes come within 1.2 %.
@pytest.mark.parametrize("size, published", [("nano_1", 1.8), ("nano_2", 3.25)])
def test_gemini_nano_has_about_the_published_size(size, published):
  counted = count(ZOO[f"gemini1/{size}"].spec())
  assert counted == pytest.approx(published * BILLION, rel=0.012)


def test_one_head_of_keys_makes_a_small_cache():
  """Two vectors of 256 a layer, 2 bytes an element, whatever the heads of queries."""
  for name, layers in (("gemini1/nano_1", 21), ("palm/540b", 118)):
    report = zoo.described(ZOO[name], length=128)
    assert report["cache bytes a token (16 bit)"] == 2 * 256 * layers * 2

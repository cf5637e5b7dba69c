"""Sizes of Gopher, Chinchilla and Transformer-XL, published to two or three digits."""

import pytest

from models.components.param import count
from models.zoo import ZOO

# Parameters as published, which the count has to round to.
PUBLISHED = {
  "gopher/44m": "4.4e+07",
  "gopher/117m": "1.17e+08",
  "gopher/417m": "4.17e+08",
  "gopher/1_4b": "1.4e+09",
  "gopher/7_1b": "7.1e+09",
  "gopher/280b": "2.80e+11",
  "chinchilla/70b": "7.0e+10",
  "transformer_xl/enwik8_12l": "4.1e+07",
  "transformer_xl/enwik8_24l": "2.77e+08",
  "transformer_xl/wikitext103": "1.51e+08",
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_count_rounds_to_the_published_one(name):
  digits = len(PUBLISHED[name].split("e")[0]) - 2
  assert f"{count(ZOO[name].spec()):.{digits}e}" == PUBLISHED[name]


def test_gopher_has_its_size_with_projections_of_distances_only():
  spec = ZOO["gopher/280b"].spec()
  attention = spec.decoder.blocks[0].attention
  distances = len(spec.decoder.blocks) * spec.dim * attention.heads * attention.head_dim
  assert round((count(spec) - distances) / 1e9) == 258

"""Token caches hold exactly the ids of the text, once, whoever builds them."""

import json
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest

from t5x_like.data import tokens
from t5x_like.data.sources import JsonLines, Text
from t5x_like.data.tokens import TokenCache
from t5x_like.data.vocab import Bytes

LINES = ["first line", "grüße 🤗", "x" * 5000, "last"]


@pytest.fixture
def source(tmp_path):
  (tmp_path / "a.txt").write_text("\n".join(LINES[:2]) + "\n\n")
  (tmp_path / "b.txt").write_text("\n".join(LINES[2:]))
  return Text(str(tmp_path / "*.txt"))


def test_documents_are_those_of_the_source_in_order(source, tmp_path):
  cache = TokenCache.open_or_build(source, Bytes(), data_dir=tmp_path / "data")
  assert len(cache) == cache.documents == len(LINES)
  assert [Bytes().decode(cache[i]["text"]) for i in range(len(cache))] == LINES
  assert cache[0]["text"].dtype == np.int32


def test_the_flat_map_is_all_documents_one_after_the_other(source, tmp_path):
  cache = TokenCache.open_or_build(source, Bytes(), data_dir=tmp_path / "data")
  expected = np.concatenate([Bytes().encode(line) for line in LINES])
  assert cache.tokens().dtype == np.uint16
  np.testing.assert_array_equal(cache.tokens(), expected)
  lengths = [len(line.encode()) for line in LINES]
  np.testing.assert_array_equal(cache.offsets(), np.cumsum([0, *lengths]))


def test_append_eos_ends_every_document(source, tmp_path):
  cache = TokenCache.open_or_build(
    source, Bytes(), data_dir=tmp_path / "data", append_eos=True
  )
  assert [cache[i]["text"][-1] for i in range(4)] == [1] * 4
  assert len(cache.tokens()) == sum(len(line.encode()) + 1 for line in LINES)


def test_batches_do_not_show_in_the_cache(source, tmp_path, monkeypatch):
  whole = TokenCache.open_or_build(source, Bytes(), data_dir=tmp_path / "one")
  monkeypatch.setattr(tokens, "BATCH_BYTES", 7)
  parts = TokenCache.open_or_build(source, Bytes(), data_dir=tmp_path / "two")
  assert (whole.directory / "text.bin").read_bytes() == (
    parts.directory / "text.bin"
  ).read_bytes()
  np.testing.assert_array_equal(whole.offsets(), parts.offsets())


def test_large_vocabularies_are_stored_in_four_bytes(source, tmp_path):
  large = Bytes(extra_ids=70_000)
  cache = TokenCache.open_or_build(source, large, data_dir=tmp_path / "data")
  assert cache.tokens().dtype == np.uint32
  assert large.decode(cache[1]["text"]) == LINES[1]


def test_pairs_have_a_file_for_each_field(tmp_path):
  rows = [{"q": "two?", "a": "2"}, {"q": "three?", "a": "3"}, {"q": "none"}]
  (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
  source = JsonLines(str(tmp_path / "a.jsonl"), field=("q", "a"))
  cache = TokenCache.open_or_build(source, Bytes(), data_dir=tmp_path)
  assert cache.fields == ("inputs", "targets")
  assert {k: Bytes().decode(v) for k, v in cache[1].items()} == {
    "inputs": "three?",
    "targets": "3",
  }
  assert cache.report["bad"]["missing_field"]["count"] == 1


def test_fields_that_the_records_lack_are_an_error(source, tmp_path):
  with pytest.raises(ValueError, match="targets"):
    TokenCache.open_or_build(
      source, Bytes(), data_dir=tmp_path, fields=("inputs", "targets")
    )


def test_the_report_says_what_was_read_and_what_was_not(source, tmp_path):
  report = TokenCache.open_or_build(source, Bytes(), data_dir=tmp_path / "d").report
  assert (report["documents"], report["skipped"]) == (4, 1)
  assert report["bad"]["empty"] == {"count": 1, "first": f"{tmp_path}/a.txt:3"}
  assert (
    report["bytes"] == report["tokens"]["text"] == sum(len(l.encode()) for l in LINES)
  )


def test_a_cache_is_built_once_and_again_for_other_text(source, tmp_path):
  data_dir = tmp_path / "data"
  first = TokenCache.open_or_build(source, Bytes(), data_dir=data_dir)
  stamp = (first.directory / "report.json").stat().st_mtime_ns
  again = TokenCache.open_or_build(source, Bytes(), data_dir=data_dir)
  assert again.directory == first.directory and again.fingerprint == first.fingerprint
  assert (first.directory / "report.json").stat().st_mtime_ns == stamp
  (tmp_path / "b.txt").write_text("other text")
  other = TokenCache.open_or_build(source, Bytes(), data_dir=data_dir)
  assert other.fingerprint != first.fingerprint and len(other) == 3


def test_moved_text_is_the_same_text(source, tmp_path):
  first = TokenCache.open_or_build(source, Bytes(), data_dir=tmp_path / "data")
  (tmp_path / "moved").mkdir()
  for name in ("a.txt", "b.txt"):
    os.rename(tmp_path / name, tmp_path / "moved" / name)
  moved = Text(str(tmp_path / "moved" / "*.txt"))
  again = TokenCache.open_or_build(moved, Bytes(), data_dir=tmp_path / "data")
  assert again.directory == first.directory


def test_a_cache_pickles_as_its_folder(source, tmp_path):
  cache = TokenCache.open_or_build(source, Bytes(), data_dir=tmp_path / "data")
  data = pickle.dumps(cache)
  assert len(data) < 400
  assert Bytes().decode(pickle.loads(data)[1]["text"]) == LINES[1]


TOGETHER = """
import sys
from t5x_like.data.sources import Text
from t5x_like.data.tokens import TokenCache
from t5x_like.data.vocab import Bytes
cache = TokenCache.open_or_build(Text(sys.argv[1]), Bytes(), data_dir=sys.argv[2])
print(cache.directory, len(cache))
"""


def test_processes_that_start_together_build_one_cache(source, tmp_path):
  command = [sys.executable, "-c", TOGETHER, source.pattern, str(tmp_path / "data")]
  workers = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(3)]
  answers = {worker.communicate(timeout=60)[0] for worker in workers}
  assert [worker.returncode for worker in workers] == [0] * 3 and len(answers) == 1
  names = [path.name for path in (tmp_path / "data" / "tokens").iterdir()]
  assert len([name for name in names if not name.endswith(".lock")]) == 1


def test_a_build_that_failed_leaves_no_cache(source, tmp_path):
  class Dies(Bytes):
    def encode_batch(self, texts):
      raise RuntimeError("killed")

  with pytest.raises(RuntimeError):
    TokenCache.open_or_build(source, Dies(), data_dir=tmp_path / "data")
  cache = TokenCache.open_or_build(source, Bytes(), data_dir=tmp_path / "data")
  assert len(cache) == 4


def test_a_source_without_a_usable_record_is_an_error(tmp_path):
  (tmp_path / "blank.txt").write_text("\n \n\t\n")
  with pytest.raises(ValueError, match=r"gives no text.*blank.txt.*3 empty"):
    TokenCache.open_or_build(
      Text(str(tmp_path / "blank.txt")), Bytes(), data_dir=tmp_path / "data"
    )

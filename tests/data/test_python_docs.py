"""The built-in corpus: enough real text on any Python, prepared without TensorFlow."""

import json
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from t5x_like.data.python_docs import corpus
from t5x_like.data.records import Report
from t5x_like.data.sources import Tfds


@pytest.fixture(scope="module")
def documents():
  return list(corpus.documents())


PREPARE = "import sys; from t5x_like.data.sources import Tfds; "
PREPARE += "Tfds().located(sys.argv[1]).files()"


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
  """Prepared once, by two processes that start together."""
  place = tmp_path_factory.mktemp("data")
  command = [sys.executable, "-c", PREPARE, str(place)]
  workers = [subprocess.Popen(command) for _ in range(2)]
  assert [worker.wait(timeout=300) for worker in workers] == [0, 0]
  return place


def test_there_are_ten_megabytes_of_three_kinds(documents):
  sizes = {}
  for each in documents:
    sizes[each.kind] = sizes.get(each.kind, 0) + len(each.text.encode())
  assert sum(sizes.values()) >= 10_000_000
  assert sizes["topic"] > 200_000
  assert sizes["docstrings"] > 1_000_000
  assert sizes["source"] > 7_000_000


def test_names_and_texts_are_unique(documents):
  assert len({each.name for each in documents}) == len(documents)
  assert len({each.text for each in documents}) == len(documents)


def test_no_paragraph_of_the_topics_is_in_two_splits(documents):
  where = {}
  for each in documents:
    if each.kind == "topic":
      for paragraph in each.text.split("\n\n"):
        key = " ".join(paragraph.split())
        if len(key) >= corpus.SHORTEST:
          where.setdefault(key, set()).add(each.split)
  assert all(len(splits) == 1 for splits in where.values())


def test_no_text_tells_where_this_python_lies(documents):
  for place in (sysconfig.get_path("stdlib"), str(Path.home()) + "/", sys.prefix + "/"):
    if len(place) > 6:  # "/usr/" and "/root/" stand in texts for good reasons.
      assert not [each.name for each in documents if place in each.text]


def test_tests_and_generated_tables_are_left_out(documents):
  names = [each.name for each in documents]
  assert not [n for n in names if re.search(r"(^|[/.])tests?[/.]|idle_test", n)]
  assert not [n for n in names if "_sysconfigdata" in n or "cp1252" in n]
  assert "source/argparse.py" in names and "docstrings/argparse" in names


def test_splits_are_about_96_2_2_and_keep_a_module_together(documents):
  counts = dict.fromkeys(corpus.SPLITS, 0)
  splits = {}
  for each in documents:
    counts[each.split] += 1
    splits.setdefault(each.module, set()).add(each.split)
  assert all(len(found) == 1 for found in splits.values())
  assert counts["train"] / len(documents) > 0.93
  assert min(counts["validation"], counts["test"]) > 0.008 * len(documents)


def test_a_library_without_topics_gives_what_there_is(tmp_path):
  text = '"""A module.\n\n' + "Long enough to be kept as text. " * 4 + '"""\nx = 1\n'
  (tmp_path / "pkg").mkdir()
  (tmp_path / "pkg" / "__init__.py").write_text(text)
  (tmp_path / "broken.py").write_text("def (")
  (tmp_path / "latin.py").write_bytes(b"# caf\xe9\n" * 30)
  found = {each.name: each for each in corpus.documents(tmp_path)}
  assert list(found) == ["docstrings/pkg", "source/pkg/__init__.py"]
  assert found["docstrings/pkg"].text.startswith("pkg\n\nA module.\n\nLong")
  assert found["source/pkg/__init__.py"].text == text


def test_a_python_without_sources_is_an_error(tmp_path):
  with pytest.raises(ValueError, match="sources"):
    list(corpus.documents(tmp_path))


def test_the_data_set_holds_the_corpus(documents, data_dir):
  for split in corpus.SPLITS:
    report = Report()
    stored = [r["text"] for r in Tfds(split=split).located(data_dir).records(report)]
    expected = [each.text for each in documents if each.split == split]
    assert sorted(stored) == sorted(expected)
    assert not report.bad


def test_the_version_says_recipe_and_python(data_dir):
  version = f"{corpus.RECIPE}.{sys.version_info[0]}{sys.version_info[1]:02}"
  (folder,) = (data_dir / "tfds" / "python_docs").iterdir()
  assert folder.name == f"{version}.{sys.version_info[2]}"
  info = json.loads((folder / "dataset_info.json").read_text())
  assert info["fileFormat"] == "array_record"


def test_a_second_preparation_elsewhere_has_the_same_fingerprint(data_dir, tmp_path):
  source = Tfds(split="validation")
  first = source.located(data_dir).fingerprint()
  assert source.located(tmp_path).fingerprint() == first
  assert Tfds(split="test").located(data_dir).fingerprint() != first


def test_a_part_of_a_split_is_read_as_tfds_writes_it(data_dir):
  whole = list(Tfds(split="train").located(data_dir).records())
  part = list(Tfds(split="train[:5%]").located(data_dir).records())
  assert part == whole[: len(part)] and 0 < len(part) < 0.06 * len(whole)


def test_mistakes_in_a_data_set_are_answered_with_the_fix(data_dir):
  place = str(data_dir / "tfds")
  with pytest.raises(ValueError, match="'nosplit'.*test, train, validation"):
    Tfds(split="nosplit", data_dir=place).files()
  with pytest.raises(ValueError, match="no feature 'body'.*kind, name, text"):
    list(Tfds(field="body", data_dir=place).records())
  with pytest.raises(ValueError, match="knows no data set 'no_such'"):
    Tfds("no_such", data_dir=place).files()
  with pytest.raises(ValueError, match=f"not prepared.*data_dir={place}.*download_and"):
    Tfds("lm1b", data_dir=place).files()


ALONE = """
import sys
from t5x_like.data.sources import Tfds
from t5x_like.data.tokens import TokenCache
from t5x_like.data.vocab import Bytes, HuggingFace, TrainedSentencePiece
source = Tfds(split="test", data_dir=sys.argv[1])
vocabulary = TrainedSentencePiece(name="t", size=1000, sample=50_000)
vocabulary = vocabulary.resolve(source, data_dir=sys.argv[2])
cache = TokenCache.open_or_build(source, vocabulary, data_dir=sys.argv[2])
assert len(cache.tokens())
bad = {"tensorflow", "jax", "jaxlib", "torch"} & set(sys.modules)
assert not bad, bad
"""


def test_neither_tensorflow_nor_jax_is_ever_imported(tmp_path):
  # Prepares too: an empty data_dir.
  command = [sys.executable, "-c", ALONE, str(tmp_path / "tfds"), str(tmp_path)]
  done = subprocess.run(command, capture_output=True, text=True)
  assert done.returncode == 0, done.stderr
  assert not done.stdout  # A verb with --json owns standard output.

"""Training a vocabulary: exact, repeatable, once."""

import multiprocessing
from pathlib import Path

import pytest

from t5x_like.data.sources import Text
from t5x_like.data.vocab import TrainedSentencePiece
from t5x_like.data.vocab_training import draw

CODE = """def greet(name):
\tif name:\r
        return "Grüße, " + name  # 你好


\x0b  \u00a0end"""


@pytest.fixture(scope="module")
def source():
  # Prose and code on every machine: the library's own test subject.
  return Text(pattern(["argparse.py", "datetime.py", "subprocess.py"]), per="file")


def pattern(names):
  return tuple(str(Path(multiprocessing.__file__).parents[1] / name) for name in names)


SETTINGS = TrainedSentencePiece(name="test", size=1000, extra_ids=20, sample=100_000)


@pytest.fixture(scope="module")
def trained(source, tmp_path_factory):
  return SETTINGS.resolve(source, data_dir=tmp_path_factory.mktemp("data"))


def test_every_text_comes_back_with_its_line_ends_and_indentation(trained):
  for text in (CODE, CODE * 3, "\n\n a", " a ", "    x\n", ""):
    assert trained.decode(trained.encode(text)) == text


def test_a_slice_of_the_ids_is_a_slice_of_the_text(trained):
  text = "  if x:\n    return the_value\n"
  ids = trained.encode(text)
  for cut in range(len(ids) + 1):
    assert trained.decode(ids[:cut]) + trained.decode(ids[cut:]) == text


def test_sizes_and_special_ids_are_as_asked(trained):
  assert (trained.size, trained.base_size, trained.sentinels) == (1000, 980, 20)
  assert (trained.pad_id, trained.eos_id, trained.unk_id) == (0, 1, 2)
  assert (SETTINGS.pad_id, SETTINGS.eos_id, SETTINGS.unk_id) == (0, 1, 2)
  assert trained.encode("<extra_id_0>").tolist() == [999]


def test_runs_of_spaces_are_single_pieces(trained):
  assert len(trained.encode("\n        return")) <= 3


def test_the_same_settings_and_text_give_the_same_file(source, trained, tmp_path):
  again = SETTINGS.resolve(source, data_dir=tmp_path)
  assert Path(again.path).read_bytes() == Path(trained.path).read_bytes()
  assert Path(again.path).name == Path(trained.path).name


def test_a_trained_vocabulary_is_found_again(source, trained):
  data_dir = Path(trained.path).parents[1]
  stamp = Path(trained.path).stat().st_mtime_ns
  assert SETTINGS.resolve(source, data_dir=data_dir) == trained
  assert Path(trained.path).stat().st_mtime_ns == stamp


def test_other_text_is_another_vocabulary(trained):
  data_dir = Path(trained.path).parents[1]
  other = Text(pattern(["typing.py"]), per="file")
  assert SETTINGS.resolve(other, data_dir=data_dir).path != trained.path


def test_the_sample_is_drawn_evenly_from_the_whole_source(tmp_path):
  (tmp_path / "a.txt").write_text("".join(f"{i:06d}\n" for i in range(20_000)))
  drawn = [int(text) for text in draw(Text(str(tmp_path / "a.txt")), 12_000)]
  assert 1_600 < len(drawn) < 2_400  # 2,000 lines of 6 letters; 4 standard deviations.
  assert 9_000 < sum(drawn) / len(drawn) < 11_000
  assert drawn == sorted(drawn)


def test_a_size_the_text_cannot_fill_says_what_it_can(tmp_path):
  (tmp_path / "a.txt").write_text("a few words only\n" * 10)
  settings = TrainedSentencePiece(name="big", size=5000)
  with pytest.raises(ValueError, match=r"size=5000.*at most \d+"):
    settings.resolve(Text(str(tmp_path / "a.txt")), data_dir=tmp_path)

"""Vocabularies: the numbers of SeqIO and T5, and exact round trips."""

import pickle

import numpy as np
import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st
from sentencepiece import sentencepiece_model_pb2

from t5x_like.data.vocab import Bytes, HuggingFace, SentencePiece

# SeqIO's ByteVocabularyTest.
BYTE_TEXT = "this is a test 🤗 你好"
BYTE_IDS = (119, 107, 108, 118, 35, 108, 118, 35, 100, 35, 119, 104, 118, 119, 35)
BYTE_IDS += (243, 162, 167, 154, 35, 231, 192, 163, 232, 168, 192)


def test_bytes_have_the_ids_of_seqio():
  assert tuple(Bytes().encode(BYTE_TEXT)) == BYTE_IDS
  assert Bytes().decode(BYTE_IDS) == BYTE_TEXT
  assert Bytes().encode("a").tolist() == [100]


def test_sizes_of_bytes_are_those_of_seqio():
  assert Bytes().size == 259
  assert Bytes(extra_ids=10).size == 269
  assert Bytes(extra_ids=10).base_size == 259


def test_bytes_decoding_drops_special_ids_and_broken_characters():
  assert Bytes().decode([0, 2, 100, 243, 162, 101, 0]) == "ab"


def test_bytes_without_extra_ids_reuse_the_last_byte_ids_as_byt5_does():
  assert [Bytes().sentinel(i) for i in (0, 99)] == [258, 159]
  with pytest.raises(ValueError, match="extra_ids"):
    Bytes().sentinel(100)


def test_bytes_with_extra_ids_spell_and_show_sentinels():
  vocabulary = Bytes(extra_ids=2)
  ids = vocabulary.encode("a<extra_id_0>b<extra_id_1><extra_id_7>")
  assert ids.tolist()[:4] == [100, 260, 101, 259]
  assert vocabulary.decode(ids) == "a<extra_id_0>b<extra_id_1><extra_id_7>"


@given(st.text())
@settings(max_examples=50, deadline=None)
def test_bytes_give_any_text_back(text):
  for vocabulary in (Bytes(), Bytes(extra_ids=100)):
    assert vocabulary.decode(vocabulary.encode(text)) == text


def seqio_model(path, *, pieces=26):
  """A model in which "▁" is 3 and the last piece is "v", as in SeqIO's test model."""
  model = sentencepiece_model_pb2.ModelProto()
  model.trainer_spec.MergeFrom(
    sentencepiece_model_pb2.TrainerSpec(unk_id=2, bos_id=-1, eos_id=1, pad_id=0)
  )
  for text, kind in (("<pad>", 3), ("</s>", 3), ("<unk>", 2)):
    model.pieces.add(piece=text, score=0.0, type=kind)
  for text in ["▁", *"etahousnirdlcmfwygpbkx"[: pieces - 5], "v"]:
    model.pieces.add(piece=text, score=-1.0, type=1)
  path.write_bytes(model.SerializeToString())
  return str(path)


def test_sentencepiece_sentinels_have_the_ids_of_seqio(tmp_path):
  vocabulary = SentencePiece(seqio_model(tmp_path / "test.model"), extra_ids=10)
  text = "<extra_id_0> <extra_id_1> v <extra_id_9>"
  assert (vocabulary.size, vocabulary.base_size) == (36, 26)
  assert vocabulary.encode(text).tolist() == [35, 34, 3, 25, 26]
  assert vocabulary.decode([35, 34, 3, 25, 26]) == text


def test_a_sentinel_needs_no_space_before_it(tmp_path):
  vocabulary = SentencePiece(seqio_model(tmp_path / "test.model"), extra_ids=10)
  assert vocabulary.encode("v<extra_id_0>v").tolist() == [3, 25, 35, 25]


def test_sentinels_count_down_from_the_last_id(tmp_path):
  vocabulary = SentencePiece(seqio_model(tmp_path / "test.model"), extra_ids=10)
  assert [vocabulary.sentinel(i) for i in range(10)] == list(range(35, 25, -1))
  assert vocabulary.sentinels == 10
  with pytest.raises(ValueError, match="vocabulary has 10"):
    vocabulary.sentinel(10)


def test_decoding_stops_at_the_first_eos_and_survives_ids_beyond_the_table(tmp_path):
  vocabulary = SentencePiece(seqio_model(tmp_path / "test.model"), extra_ids=10)
  assert vocabulary.decode(np.array([0, 3, 25, 1, 25, 25])) == "v"
  assert "v" in vocabulary.decode([25, 99])


@pytest.mark.parametrize(
  ("pieces", "extra", "first", "last", "size"),
  # T5 (Raffel et al. 2020) and umT5 (its published vocabulary).
  [(32_000, 100, 32_099, 32_000, 32_100), (256_000, 300, 256_299, 256_000, 256_300)],
)
def test_published_vocabularies_have_their_sentinels(
  tmp_path, pieces, extra, first, last, size
):
  path = tmp_path / "large.model"
  seqio_model(path)
  model = sentencepiece_model_pb2.ModelProto.FromString(path.read_bytes())
  for number in range(pieces - len(model.pieces)):
    model.pieces.add(piece=f"w{number}", score=-2.0, type=1)
  path.write_bytes(model.SerializeToString())
  vocabulary = SentencePiece(str(path), extra_ids=extra)
  assert vocabulary.encode("<extra_id_0>").tolist() == [first]
  assert vocabulary.sentinel(extra - 1) == last and vocabulary.size == size
  assert vocabulary.base_size == pieces


def test_a_file_with_its_own_sentinels_is_not_given_more(tmp_path):
  path = tmp_path / "test.model"
  seqio_model(path)
  model = sentencepiece_model_pb2.ModelProto.FromString(path.read_bytes())
  for number in (1, 0):
    model.pieces.add(piece=f"▁<extra_id_{number}>", score=0.0, type=4)
  path.write_bytes(model.SerializeToString())
  own = SentencePiece(str(path), extra_ids=0)
  assert (own.size, own.sentinels, own.sentinel(1)) == (28, 2, 26)
  with pytest.raises(ValueError, match="extra_ids=0"):
    SentencePiece(str(path), extra_ids=100).encode("v")


def test_vocabularies_are_values_that_pickle_without_their_tables(tmp_path):
  vocabulary = SentencePiece(seqio_model(tmp_path / "test.model"))
  vocabulary.encode("v")
  copy = pickle.loads(pickle.dumps(vocabulary))
  assert copy == vocabulary and len(pickle.dumps(vocabulary)) < 300
  assert copy.encode("hat").tolist() == vocabulary.encode("hat").tolist()


def test_the_fingerprint_follows_the_content_and_not_the_path(tmp_path):
  one = SentencePiece(seqio_model(tmp_path / "one.model"))
  two = SentencePiece(seqio_model(tmp_path / "two.model"))
  other = SentencePiece(seqio_model(tmp_path / "other.model", pieces=20))
  assert one.fingerprint == two.fingerprint
  assert len({one.fingerprint, other.fingerprint, Bytes().fingerprint}) == 3


def test_a_missing_or_foreign_file_is_named(tmp_path):
  with pytest.raises(ValueError, match="does not exist"):
    SentencePiece(str(tmp_path / "no.model")).encode("a")
  (tmp_path / "text.model").write_text("not a model")
  with pytest.raises(ValueError, match="not a SentencePiece model"):
    SentencePiece(str(tmp_path / "text.model")).encode("a")
  (tmp_path / "tokenizer.json").write_text("{}")
  with pytest.raises(ValueError, match="not a tokenizer.json"):
    HuggingFace(str(tmp_path / "tokenizer.json"), eos="</s>").encode("a")


@pytest.fixture
def tokenizer_file(tmp_path):
  words = {"<pad>": 0, "</s>": 1, "<unk>": 2, "a": 3, "cat": 4}
  tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, "<unk>"))
  tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
  tokenizer.enable_truncation(2)  # Published files often carry such settings.
  tokenizer.save(str(tmp_path / "tokenizer.json"))
  return str(tmp_path / "tokenizer.json")


def test_hugging_face_ids_are_those_of_the_file_whatever_it_truncates(tokenizer_file):
  vocabulary = HuggingFace(tokenizer_file, eos="</s>", pad="<pad>", unk="<unk>")
  assert vocabulary.encode("a cat a dog").tolist() == [3, 4, 3, 2]
  assert (vocabulary.pad_id, vocabulary.eos_id, vocabulary.unk_id) == (0, 1, 2)
  assert vocabulary.decode([3, 4, 1, 3]) == "a cat"


def test_hugging_face_sentinels_are_appended_counting_down(tokenizer_file):
  vocabulary = HuggingFace(tokenizer_file, eos="</s>", unk="<unk>", extra_ids=3)
  assert (vocabulary.base_size, vocabulary.size, vocabulary.sentinels) == (5, 8, 3)
  assert vocabulary.encode("a <extra_id_0> cat<extra_id_2>").tolist() == [3, 7, 4, 5]
  assert vocabulary.sentinel(2) == 5
  with pytest.raises(ValueError, match="vocabulary has 0"):
    HuggingFace(tokenizer_file, eos="</s>").sentinel(0)


def test_a_token_that_is_not_in_the_file_is_named_with_those_that_are(tokenizer_file):
  with pytest.raises(ValueError, match="<eos>.*</s>"):
    _ = HuggingFace(tokenizer_file, eos="<eos>").eos_id

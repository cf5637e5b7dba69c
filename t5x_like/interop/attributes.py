"""config.json of a Hugging Face folder, read so that nothing in it is passed over.

You are in: t5x_like/interop, pure part. A format takes what it understands; what is left
at `close` is an error, because an attribute that nobody reads may change what the model
computes. `NEUTRAL` are those that never do: bookkeeping, initial values, dropout
rates, weights of extra losses, token ids and options of generation.
"""

from __future__ import annotations

import json
from pathlib import Path

REQUIRED = object()

NEUTRAL = frozenset(
  """
  _name_or_path _attn_implementation attn_implementation _commit_hash architectures
  auto_map model_type transformers_version dtype torch_dtype torchscript use_cache
  use_bfloat16 use_cache_quantization gradient_checkpointing output_attentions
  output_hidden_states output_past output_router_logits return_dict return_dict_in_generate
  output_scores pruned_heads tie_last_hidden_states tokenizer_class prefix
  keys_to_ignore_at_inference chunk_size_feed_forward pretraining_tp cache_dir
  id2label label2id num_labels problem_type finetuning_task task_specific_params
  classifier_dropout classifier_dropout_prob summary_type summary_use_proj summary_activation summary_proj_to_labels
  summary_first_dropout summary_hidden_size
  bos_token_id eos_token_id pad_token_id sep_token_id unk_token_id mask_token_id
  decoder_start_token_id forced_bos_token_id forced_eos_token_id bad_words_ids
  suppress_tokens begin_suppress_tokens
  max_length min_length do_sample early_stopping num_beams num_beam_groups
  diversity_penalty temperature top_k top_p typical_p repetition_penalty length_penalty
  no_repeat_ngram_size encoder_no_repeat_ngram_size num_return_sequences
  exponential_decay_length_penalty remove_invalid_values
  initializer_range initializer_factor init_std init_method_std
  dropout dropout_rate attention_dropout resid_pdrop embd_pdrop attn_pdrop embed_dropout
  hidden_dropout resid_dropout attention_probs_dropout_prob hidden_dropout_prob
  activation_dropout layerdrop emb_pdrop use_flash_attn
  router_aux_loss_coef router_z_loss_coef router_jitter_noise aux_loss_alpha seq_aux
  add_router_probs
  """.split()
)


class Attributes:
  """The attributes of one config.json, each to be taken once.

  >>> attributes = Attributes({"hidden_size": 8, "alibi": False})
  >>> attributes.take("hidden_size")
  8
  >>> attributes.fixed(alibi=False)
  >>> attributes.close()
  """

  def __init__(self, values: dict, *, source: str = "config.json"):
    self._values = dict(values)
    self._source = source
    self._left = set(values) - NEUTRAL

  def take(self, *names: str, default: object = REQUIRED) -> object:
    """The value of an attribute, under the first of its names that is there.

    None in the file means the default too, as in transformers.

    Raises:
      ValueError: there is none, and no default.
    """
    self._left -= set(names)
    found = [self._values[name] for name in names if self._values.get(name) is not None]
    if found:
      return found[0]
    if default is REQUIRED:
      raise ValueError(f"{self._source} has no {names[0]!r}, which this model needs.")
    return default

  def says(self, name: str) -> bool:
    """Whether the attribute is in the file, be it as null: a few classes tell null from
    an attribute that is absent."""
    return name in self._values

  def fixed(self, **values: object) -> None:
    """Attributes that may be absent or have this value; ours computes nothing else.

    A set stands for several values that mean the same.
    """
    for name, value in values.items():
      allowed = value if isinstance(value, frozenset) else frozenset([value])
      found = self.take(name, default=None)
      if found is not None and found not in allowed:
        shown = " or ".join(sorted(map(repr, allowed)))
        raise ValueError(
          f"{self._source}: {name}={found!r} changes what the model computes, and ours "
          f"computes {name}={shown} alone. Such a model cannot be imported."
        )

  def ignore(self, *names: str) -> None:
    """Attributes that change nothing for this class."""
    self._left -= set(names)

  def close(self) -> None:
    """ValueError for what nobody has taken."""
    left = sorted(name for name in self._left if self._values[name] is not None)
    if left:
      shown = ", ".join(f"{name}={self._values[name]!r}" for name in left[:5])
      raise ValueError(
        f"{self._source}: nothing here understands {shown}. It may change what the model "
        "computes, so it is not ignored. If it does not, remove it from the file."
      )


def read_json(path: Path) -> dict:
  """A JSON object; ValueError that names the file if it is none."""
  try:
    value = json.loads(path.read_text(encoding="utf-8"))
  except FileNotFoundError:
    raise ValueError(f"{path} does not exist; give the folder of a model.") from None
  except (OSError, ValueError) as error:
    raise ValueError(f"{path} cannot be read: {error}") from error
  if not isinstance(value, dict):
    raise ValueError(f"{path} holds no JSON object.")
  return value

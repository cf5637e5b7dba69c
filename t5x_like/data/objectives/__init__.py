"""Objectives: what a piece of text becomes as a question and an answer. Pure numpy.

One file each. An objective is a frozen dataclass with

  fields      the record fields it reads
  append_eos  whether documents are joined with EOS before they are cut
  chunk       how many joined tokens one example takes, or None: one example a document
  __call__    (tokens, rng, ids) -> {"inputs": ..., "targets": ...}, int32

and knows nothing of batches, padding or models. `rng` is a function of the example's
number alone, so examples can be made in any order, by any process.
"""

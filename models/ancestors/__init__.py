"""Parts of language models from before the Transformer, and n-gram counts.

You are in: models. The stacks stand where a `Stack` of blocks stands, in the same
`Decoder` and `EncoderDecoder`: every verb, loss, objective and optimizer works with
them. Families compose them: nnlm, lstm, seq2seq, rnnsearch. docs/ancestors.md shows use.

ngram.py, smoothing.py   n-gram counts and eight smoothings; NumPy alone
window.py     a hidden layer over the last words' vectors (Bengio et al. 2003)
cells.py      LSTM, with a projection or without, and GRU: one step of a recurrence
recurrent.py  a stack of cells over time, with restarts between packed documents
handover.py   the last state of one stack starts another (Sutskever et al. 2014)
additive.py   a cell that looks at an encoder's annotations (Bahdanau et al. 2014)
characters.py, elmo.py   words as spelled; ELMo's two directions and mix of layers
"""

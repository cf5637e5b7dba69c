"""python_docs, the built-in corpus: text that every Python installation brings along.

corpus.py    what is taken from the installation, and how it is split (no TFDS)
builder.py   the TFDS data set made of it, and `prepare`
"""

"""What is computed: architectures as values, layers as Flax NNX modules.

components/    one file per concept: a frozen spec beside the layer that computes it
ancestors/     parts from before the Transformer: recurrence, word windows, n-grams
families/      one file per family: functions that compose specs, no mathematics
row.py         what is known of a model besides its architecture
transforms.py  parameters of one architecture made from those of another
zoo.py         the index: name, builder, paper, published parameter count

Nothing here knows data, training or configuration files.
"""

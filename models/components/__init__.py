"""The parts every architecture is made of. Read in this order:

spec       architectures as immutable values: walk, rewrite, swap, fold
param      parameters are declared by layers and drawn in one place
dense      the one seam between activations and weights
norm, ffn, position, yarn, xpos, mask, embed    one concept a file
block_positions                           GLM: where in its span a token stands
attend     how scores are computed on each kind of hardware
attention  projections around `attend`, with an explicit cache
latent, query_layer                       other ways to ask, or to keep keys and values
relative_attention, segment_attention, two_way_attention
                                          Transformer-XL: scores of distances, a memory
routers, expert_choice, balanced          who computes a token
experts, grouped, moe                     mixtures: experts behind a router
hybrid     a block with a mixture beside it
block, residual, sub_norm, stack, tower, model, encoder, untied, paired   composition
execution, context                        how it runs; what travels with a batch
flops      matrix-multiplication counts of a spec
"""

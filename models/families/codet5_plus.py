"""CodeT5+ 2B to 16B (Wang et al. 2023, arXiv:2305.07922): a small encoder, CodeGen behind.

The 220M and 770M are T5 (t5.py); the second stage adds heads (components/paired.py).
"""

from models.components.attention import CrossAttention
from models.components.mask import Full
from models.components.param import InitRule
from models.components.residual import ParallelCrossBlock
from models.components.spec import replace
from models.components.untied import ProjectedEncoderDecoder
from models.families.gpt_j import codegen


def codet5_plus(
  *,
  dim: int,
  heads: int,
  layers: int,
  rotary_dim: int = 64,
  encoder_dim: int = 1024,
  encoder_heads: int = 16,
  encoder_layers: int = 20,
  encoder_rotary_dim: int = 32,
  vocab: int = 51_200,
  dropout: float = 0.0,
) -> ProjectedEncoderDecoder:
  """Section 3.3: both sides begin as CodeGen, the encoder as the 350M (its default sizes
  here), seeing both ways; only the top layer of the decoder looks at it.

  Only the encoder, its projection and that cross-attention are trained:
  `Freeze(pattern="(token_embedder|head)/.*|decoder/(?!.*/cross).*")`.
  """
  deep = codegen(
    dim=dim,
    heads=heads,
    layers=layers,
    rotary_dim=rotary_dim,
    vocab=vocab,
    dropout=dropout,
  )
  shallow = codegen(
    dim=encoder_dim,
    heads=encoder_heads,
    layers=encoder_layers,
    rotary_dim=encoder_rotary_dim,
    vocab=vocab,
  )
  block = shallow.decoder.blocks[0]
  block = replace(block, attention=replace(block.attention, mask=Full()))
  *below, top = deep.decoder.blocks
  top = ParallelCrossBlock(
    norm=top.norm,
    attention=top.attention,
    cross=CrossAttention(heads=heads, head_dim=dim // heads),
    ffn=top.ffn,
  )
  (rule,) = shallow.init
  encoder_rule = InitRule(pattern=r"encoder/.*/(out|down)/kernel", init=rule.init)
  return ProjectedEncoderDecoder(
    vocab=vocab,
    dim=dim,
    encoder_dim=encoder_dim,
    dropout=dropout,
    encoder_embed=shallow.embed,
    embed=deep.embed,
    head=deep.head,
    encoder=replace(shallow.decoder, blocks=encoder_layers * (block,)),
    decoder=replace(deep.decoder, blocks=(*below, top)),
    init=(*deep.init, encoder_rule),
  )

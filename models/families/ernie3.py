"""ERNIE 3.0 (Sun et al. 2021, arXiv:2107.02137) and Titan (Wang et al. 2021,
arXiv:2112.12731): a universal stack under a narrower module for each kind of task.

Each kind is a model; they share `universal/` (models/components/tower.py). In the paper a
segment's memory is the same layer's output of the segment before it, computed segment by
segment; here it is that layer's input, as in Transformer-XL, so that a row is computed at
once. The papers do not say how hidden states become scores: kernels of their own.
"""

from models.components.embed import Embed, Head
from models.components.encoder import Encoder, Pooled
from models.components.ffn import FFN
from models.components.mask import SegmentMemory
from models.components.model import Decoder
from models.components.norm import LayerNorm
from models.components.param import InitRule, Normal
from models.components.relative_attention import RelativeAttention
from models.components.residual import PostBlock
from models.components.segment_attention import SegmentAttention
from models.components.spec import replace
from models.components.stack import Stack
from models.components.tower import Tower
from models.components.two_way_attention import TwoWayAttention

INIT = (
  InitRule(pattern=r".*/(kernel|content_bias|distance_bias)", init=Normal(std=0.02)),
)

# Section 3.2.2: 3 distances of two sentences, the orders of up to 3 pieces; and whether a
# text is original or generated (Titan, section 3.2).
JUDGES = (
  Pooled(label="sentence_distance", classes=3),
  Pooled(label="sentence_reordering", classes=9),
  Pooled(label="original"),
)


def ernie3(
  *,
  dim: int,
  heads: int,
  layers: int,
  hidden: int | None = None,
  width: int = 768,
  task_heads: int = 12,
  task_layers: int = 12,
  vocab: int = 40_000,
  segment: int = 512,
  memory: int = 128,
  dropout: float = 0.0,
) -> Decoder:
  """The universal stack and the module that generates, section 3.1.2. vocab: of the
  released smaller models; the paper says none."""
  mask = SegmentMemory(segment=segment, memory=memory)
  attention = SegmentAttention(heads=heads, head_dim=dim // heads, mask=mask, bias=True)
  own = replace(attention, heads=task_heads, head_dim=width // task_heads)
  return Decoder(
    vocab=vocab,
    dim=dim,
    dropout=dropout,
    embed=Embed(std=0.02),
    head=Head(std=0.02),
    decoder=Tower(
      universal=Stack(blocks=layers * (_block(attention, hidden or 4 * dim),)),
      task=Stack(blocks=task_layers * (_block(own, 4 * width),)),
      width=width,
    ),
    init=INIT,
  )


def ernie3_understanding(**sizes) -> Encoder:
  """The universal stack and the module that understands: it sees both directions, fills
  in masked words and judges rows."""
  model = ernie3(**sizes)
  tower = model.decoder
  universal, task = (_both_ways(stack) for stack in (tower.universal, tower.task))
  return Encoder(
    vocab=model.vocab,
    dim=model.dim,
    dropout=model.dropout,
    embed=replace(model.embed, types=2),
    head=model.head,
    encoder=replace(tower, universal=universal, task=task),
    pooled=JUDGES,
    init=INIT,
  )


def _block(attention: RelativeAttention, hidden: int) -> PostBlock:
  return PostBlock(
    norm=LayerNorm(), attention=attention, ffn=FFN(hidden=hidden, act="gelu", bias=True)
  )


def _both_ways(stack: Stack) -> Stack:
  block = stack.blocks[0]
  heads, width = block.attention.heads, block.attention.head_dim
  attention = TwoWayAttention(heads=heads, head_dim=width, bias=True)
  return replace(
    stack, blocks=len(stack.blocks) * (replace(block, attention=attention),)
  )

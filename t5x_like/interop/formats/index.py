"""All formats. Where several say the same of a spec, the first one is written."""

from t5x_like.interop.formats import (
  bert,
  bloom,
  deepseek,
  falcon,
  gpt,
  gpt2,
  gpt_bigcode,
  gpt_j,
  gpt_neo,
  gpt_neox,
  llama,
  mixtral,
  mpt,
  olmo,
  nemotron,
  opt,
  switch,
  t5,
)
from t5x_like.interop.hf import Format

FORMATS: tuple[Format, ...] = (
  *bert.FORMATS,
  *t5.FORMATS,
  *gpt2.FORMATS,
  *llama.FORMATS,
  *mixtral.FORMATS,
  *deepseek.FORMATS,
  *switch.FORMATS,
  *bloom.FORMATS,
  *opt.FORMATS,
  *mpt.FORMATS,
  *olmo.FORMATS,
  *gpt.FORMATS,
  *gpt_bigcode.FORMATS,
  *gpt_neo.FORMATS,
  *gpt_neox.FORMATS,
  *gpt_j.FORMATS,
  *falcon.FORMATS,
  *nemotron.FORMATS,
)

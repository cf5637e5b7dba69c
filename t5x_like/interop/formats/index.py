"""All formats. Where several say the same of a spec, the first one is written."""

from t5x_like.interop.formats import (
  bloom,
  deepseek,
  gpt2,
  llama,
  mixtral,
  opt,
  switch,
  t5,
)
from t5x_like.interop.hf import Format

FORMATS: tuple[Format, ...] = (
  *t5.FORMATS,
  *gpt2.FORMATS,
  *llama.FORMATS,
  *mixtral.FORMATS,
  *deepseek.FORMATS,
  *switch.FORMATS,
  *bloom.FORMATS,
  *opt.FORMATS,
)

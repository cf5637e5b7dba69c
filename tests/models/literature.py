"""Systems of the literature, and what stands for each here: a section of docs/zoo.md.

You are in: tests. parity_table.py prints it, test_literature.py checks that every name is
there. A name is a family of the zoo, one of its sizes, or a file of the repository.
"""

from __future__ import annotations

import dataclasses

HEADER = """
## Which system is which family

Where no architecture was published, the nearest family stands for it, in the sizes that
are known; the note says so. Weights of such systems can of course not be loaded.

| system | here | note |
|---|---|---|
"""
UNKNOWN = "no architecture is published; "


@dataclasses.dataclass(frozen=True)
class System:
  """What a paper or a product is called, our names for it, and what to know."""

  name: str
  here: str
  note: str = ""

  @property
  def names(self) -> list[str]:
    """Families, sizes and files."""
    return self.here.split(", ")


SYSTEMS = (
  System("Counts of n-grams", "models/ancestors/ngram.py"),
  System("Smoothing of counts", "models/ancestors/smoothing.py", "eight methods"),
  System("Neural probabilistic language model", "nnlm"),
  System("Word vectors", "models/components/embed.py", "the table of every family"),
  System("LSTM language model", "lstm"),
  System("Seq2seq", "seq2seq"),
  System("Additive attention (Bahdanau)", "rnnsearch"),
  System("ELMo", "models/ancestors/elmo.py", "reads characters; called directly"),
  System("Transformer", "transformer"),
  System("Sparse Transformer", "sparse_transformer"),
  System("Transformer-XL", "transformer_xl"),
  System("BERT", "bert"),
  System("RoBERTa", "roberta"),
  System("ALBERT", "albert"),
  System("ERNIE 3.0", "ernie3, ernie3_understanding", "a model for each task"),
  System("ERNIE 3.0 Titan", "ernie3/titan_260b, ernie3_understanding/titan_260b"),
  System("T5 and T5 v1.1", "t5, t5_1_1"),
  System("mT5, umT5, ByT5", "mt5, umt5, byt5"),
  System("UL2", "ul2"),
  System("CPM-2", "cpm2"),
  System("CPM-2-MoE", "cpm2_moe"),
  System("INFMOE", "cpm2_moe", "serves it; here experts stay where the model is"),
  System("AlexaTM 20B", "alexatm"),
  System("GLM", "glm"),
  System("GLM-130B", "glm_130b"),
  System("GPT", "gpt"),
  System("GPT-2", "gpt2"),
  System("GPT-3", "gpt3"),
  System("GPT-3.5 and ChatGPT", "gpt3/175b", UNKNOWN + "GPT-3's"),
  System("GPT-4", "gpt3/175b", UNKNOWN + "GPT-3's, neither size nor kind is known"),
  System("Codex", "codex", "fine-tuned GPT-3, with its sizes"),
  System("Jurassic-1", "jurassic1"),
  System("HyperCLOVA", "hyperclova"),
  System("Yuan 1.0", "yuan1, yuan1_prefix"),
  System("MT-NLG 530B", "mt_nlg"),
  System("PanGu-alpha", "pangu_alpha"),
  System("PanGu-Sigma", "pangu_sigma"),
  System("GPT-Neo", "gpt_neo"),
  System("GPT-J", "gpt_j"),
  System("GPT-NeoX-20B", "gpt_neox"),
  System("Pythia", "pythia"),
  System("OPT", "opt"),
  System("Galactica", "galactica"),
  System("BLOOM", "bloom"),
  System("BloombergGPT", "bloomberg_gpt"),
  System("XuanYuan 2.0", "xuanyuan2"),
  System("MPT", "mpt", "all tunings of the 7B"),
  System("Gopher", "gopher"),
  System("Chinchilla", "chinchilla"),
  System("LaMDA", "lamda"),
  System("PaLM", "palm"),
  System("U-PaLM", "u_palm"),
  System("PaLM 2", "palm2", UNKNOWN + "PaLM's"),
  System("Gemini 1", "gemini1", UNKNOWN + "Gemma's, which is built on it"),
  System("Gemini 1.5", "gemini1_5", UNKNOWN + "a mixture of Gemma's parts"),
  System("Bard", "lamda/137b, palm2, gemini1", "a product: these three in turn"),
  System("Gemma", "gemma"),
  System("Falcon", "falcon"),
  System("LLaMA", "llama"),
  System("LLaMA 2", "llama2"),
  System("LLaMA 3, 3.1 and 3.2", "llama3, llama3_1, llama3_2"),
  System("Alpaca and Vicuna", "llama/7b, llama/13b", "tuned, not changed"),
  System("OLMo", "olmo"),
  System("Qwen and Qwen2", "qwen, qwen2"),
  System("Mistral 7B", "mistral"),
  System("Nemotron-4", "nemotron4"),
  System("Mixture of experts", "switch, models/components/moe.py"),
  System("GLaM", "glam"),
  System("Mixtral", "mixtral"),
  System("Arctic", "arctic"),
  System("Grok-1", "grok1"),
  System("Grok-1.5", "grok1_5", "only its context length is published; Grok-1's"),
  System("DeepSeek LLM", "deepseek_llm"),
  System("DeepSeek-V2", "deepseek_v2"),
  System("CodeGen", "codegen"),
  System("CodeT5", "codet5"),
  System("CodeT5+", "codet5_plus", "220M to 16B"),
  System("AlphaCode", "alphacode"),
  System("SantaCoder", "santacoder"),
  System("StarCoder", "starcoder"),
)


def text() -> str:
  """The section, in the order of `SYSTEMS`."""
  rows = []
  for system in SYSTEMS:
    here = ", ".join(f"`{name}`" for name in system.names)
    rows.append(f"| {system.name} | {here} | {system.note} |\n")
  return HEADER + "".join(rows)

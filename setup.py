"""Installation: `pip install .`, with a CPU build of JAX; extras for everything else.

Ordinary ranges from the package index. JAX and Flax are chosen as a pair, because most
combinations of neighbouring versions do not work together (Flax up to 0.12.8 needs what
JAX 0.11.1 removed; Flax 0.12.9 breaks with JAX 0.11.2):
  Python 3.11    jax 0.10   flax 0.12.8    (the last ones that support it)
  Python >= 3.12 jax 0.12   flax 0.12.12 or newer
Both are tested. TensorFlow is not needed, not even by tensorflow-datasets.
"""

from setuptools import find_packages, setup

LAST_311 = 'python_version < "3.12"'
FROM_312 = 'python_version >= "3.12"'

REQUIRED = [
  f"jax>=0.10.1,<0.11; {LAST_311}",
  f"jax>=0.12,<0.13; {FROM_312}",
  f"flax>=0.12.8,<0.12.9; {LAST_311}",
  f"flax>=0.12.12,<0.13; {FROM_312}",
  "numpy>=2.0",
  "scipy>=1.13",
  # Training
  "optax>=0.2.8,<0.3",
  "orbax-checkpoint>=0.12.8,<0.13",
  "gin-config>=0.5,<0.6",
  # Data. importlib_resources: without it tensorflow-datasets would want TensorFlow.
  "grain>=0.2.18,<0.3",
  "array-record>=0.8.1",
  "tensorflow-datasets>=4.9.10,<5",
  "importlib_resources",
  "sentencepiece>=0.2.2",
  "tokenizers>=0.22",
  "pyarrow>=18",
  "zstandard>=0.23",
  # Models in and out of Hugging Face's folders. ml_dtypes: bfloat16, which JAX uses too.
  "safetensors>=0.5",
  "ml_dtypes>=0.5",
  # What a run shows
  "rich>=13",
  "matplotlib>=3.9",
]

TEST = [
  "pytest>=8",
  "pytest-xdist>=3.6",
  "hypothesis>=6.100",
  "tensorboard>=2.18",
  "ruff>=0.8",
  # Independent implementations that ours are compared with; never imported by ours. Each
  # release of transformers changes what some class computes or writes: up to the one that
  # was tested.
  'torch==2.13.0; python_version < "3.12"',
  "transformers>=5,<5.25",
  "nltk>=3.9",
  "optuna>=4",
]

setup(
  name="t5x_like",
  version="0.1.0",
  description="Language-model research in JAX: encoder-decoders and decoders from gin.",
  python_requires=">=3.11",
  packages=find_packages(
    include=["t5x_like*", "models*", "partitioning*", "gin_configs*"]
  ),
  package_data={"gin_configs": ["**/*.gin"]},
  install_requires=REQUIRED,
  extras_require={
    "cuda": ["jax[cuda13]"],
    "cuda12": ["jax[cuda12]"],
    "cuda13": ["jax[cuda13]"],
    "tpu": ["jax[tpu]"],
    "hf": ["transformers>=5,<6"],
    "tensorboard": ["tensorboard>=2.18"],
    "ray": ["ray>=2.40"],
    "tune": ["optuna>=4"],
    "test": TEST,
    "dev": TEST,
  },
  entry_points={"console_scripts": ["t5x_like = t5x_like.main:main"]},
)

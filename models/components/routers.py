"""Routers: which experts compute a token, and how much each of them counts.

You are in: models/components. A router is an FFN's business (`moe.py`): a frozen spec
whose layer turns x_BTD into a `Choice`, with the weighted losses that keep experts
evenly used. Scores are float32 whatever the activations are. Losses are means over the
tokens of a batch that are not padding, summed over layers; none while decoding.

Shapes: B batch, T tokens, D embed, E experts, k experts chosen by a token.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx

from models.components.by_row import drawn
from models.components.context import Context
from models.components.dense import Dense
from models.components.param import Constant
from models.components.spec import spec


@dataclasses.dataclass(frozen=True, kw_only=True)
class Choice:
  """experts_BTk: numbers of experts; weights_BTk: factors on what they return.

  aux: extra losses by name, weighted. A weight of 0 means that the expert is not asked.
  """

  experts_BTk: jax.Array
  weights_BTk: jax.Array
  aux: dict[str, jax.Array]


@spec
class TopK:
  """The k best, weighted by a softmax over them (Mixtral, arXiv:2401.04088, section 2.1).

  The same as a softmax over all experts whose k largest are divided by their sum.
  balance, z_loss: weights of `balance_loss` and `z_loss`.
  """

  k: int
  balance: float = 0.0
  z_loss: float = 0.0

  def build(self, dim: int, experts: int) -> GateLayer:
    if not 0 < self.k <= experts:
      raise ValueError(f"Router k={self.k} must be from 1 to the {experts} experts.")
    return GateLayer(self, dim, experts)

  def seen(self, x_BTD: jax.Array, ctx: Context) -> jax.Array:
    """What the gate looks at."""
    return x_BTD

  def pick(self, logits_BTE: jax.Array, ctx: Context) -> tuple[jax.Array, jax.Array]:
    """Experts [B, T, k] and their weights."""
    best, experts = jax.lax.top_k(logits_BTE, self.k)
    return experts, jax.nn.softmax(best, axis=-1)

  def losses(self, logits_BTE: jax.Array, experts_BTk: jax.Array, ctx: Context) -> dict:
    """Weighted, by name."""
    return weighted(
      router_balance=(self.balance, lambda: balance_loss(logits_BTE, experts_BTk, ctx)),
      router_z=(self.z_loss, lambda: z_loss(logits_BTE, ctx)),
    )


@spec
class SoftmaxTopK(TopK):
  """The k best, each weighted by `scale` times its softmax over all experts.

  (DeepSeekMoE, arXiv:2401.06066, eq. 3-5, where scale = 1.)
  """

  scale: float = 1.0

  def pick(self, logits_BTE: jax.Array, ctx: Context) -> tuple[jax.Array, jax.Array]:
    weights, experts = jax.lax.top_k(self.allowed(jax.nn.softmax(logits_BTE)), self.k)
    return experts, self.scale * weights

  def allowed(self, probabilities_BTE: jax.Array) -> jax.Array:
    """Probabilities, 0 for experts that a token may not choose."""
    return probabilities_BTE


@spec
class Switch(SoftmaxTopK):
  """One expert (Fedus et al. 2021, arXiv:2101.03961, section 2.1, eq. 4-6).

  jitter: while training, each feature the gate sees is multiplied by a number between
  1 - jitter and 1 + jitter (appendix C, "input jitter").
  """

  k: int = 1
  balance: float = 0.01
  jitter: float = 0.0

  def seen(self, x_BTD: jax.Array, ctx: Context) -> jax.Array:
    if self.jitter == 0.0 or ctx.key is None:
      return x_BTD
    low, high = 1.0 - self.jitter, 1.0 + self.jitter

    def factors(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
      return jax.random.uniform(key, shape, x_BTD.dtype, low, high)

    return x_BTD * drawn(factors, ctx.keys(101), x_BTD.shape)


@spec
class GroupLimited(SoftmaxTopK):
  """k best among the experts of the `kept` best groups (arXiv:2405.04434, 2.2.2-2.2.3).

  Neighbouring experts form `groups` of equal size, one for each device in the paper; a
  group is as good as its best expert. balance, device, communication: weights of the
  paper's three losses (eq. 23, 26, 29), over the tokens of a batch.
  """

  groups: int
  kept: int
  device: float = 0.0
  communication: float = 0.0

  def allowed(self, probabilities_BTE: jax.Array) -> jax.Array:
    grouped = self._grouped(probabilities_BTE)
    _, best = jax.lax.top_k(jnp.max(grouped, axis=-1), self.kept)
    kept = jnp.sum(jax.nn.one_hot(best, self.groups), axis=-2)
    return (grouped * kept[..., None]).reshape(probabilities_BTE.shape)

  def losses(self, logits_BTE: jax.Array, experts_BTk: jax.Array, ctx: Context) -> dict:
    experts = logits_BTE.shape[-1]
    probability = jax.nn.softmax(logits_BTE)
    chosen = jnp.sum(jax.nn.one_hot(experts_BTk, experts), axis=-2)
    share = mean_over_tokens(chosen, ctx) * experts / self.k
    mean = mean_over_tokens(probability, ctx)
    groups_mean = jnp.sum(self._grouped(mean), axis=-1)
    sent = jnp.max(self._grouped(chosen), axis=-1)  # 1 if a token visits the group
    sent_share = mean_over_tokens(sent, ctx) * self.groups / self.kept
    groups_share = jnp.mean(self._grouped(share), axis=-1)
    return weighted(
      router_balance=(self.balance, lambda: jnp.sum(share * mean)),
      router_device=(self.device, lambda: jnp.sum(groups_share * groups_mean)),
      router_communication=(
        self.communication,
        lambda: jnp.sum(sent_share * groups_mean),
      ),
      router_z=(self.z_loss, lambda: z_loss(logits_BTE, ctx)),
    )

  def _grouped(self, x: jax.Array) -> jax.Array:
    return x.reshape(*x.shape[:-1], self.groups, x.shape[-1] // self.groups)


@spec
class TopTwo(TopK):
  """GShard's two experts (Lepikhin et al. 2020, arXiv:2006.16668, algorithm 1).

  While training, the second is asked with probability min(1, 2 * its weight). The
  balance loss counts first choices only.
  """

  k: int = 2

  def pick(self, logits_BTE: jax.Array, ctx: Context) -> tuple[jax.Array, jax.Array]:
    experts, weights = super().pick(logits_BTE, ctx)
    if ctx.key is None:
      return experts, weights
    threshold = drawn(jax.random.uniform, ctx.keys(102), weights.shape[:-1])
    asked = 2 * weights[..., 1] > threshold
    second = jnp.where(asked, weights[..., 1], 0.0)
    return experts, jnp.stack([weights[..., 0], second], axis=-1)

  def losses(self, logits_BTE: jax.Array, experts_BTk: jax.Array, ctx: Context) -> dict:
    return super().losses(logits_BTE, experts_BTk[..., :1], ctx)


class GateLayer(nnx.Module):
  """Scores by one product: gate kernel (embed, unmodeled)."""

  def __init__(self, spec: TopK, dim: int, experts: int):
    self.spec = spec
    self.gate = Dense({"embed": dim}, {"unmodeled": experts}, name="router")

  def __call__(self, x_BTD: jax.Array, ctx: Context) -> Choice:
    # float32: "selective precision", arXiv:2101.03961, section 2.4.
    logits_BTE = self.gate(self.spec.seen(x_BTD.astype(jnp.float32), ctx))
    experts, weights = self.spec.pick(logits_BTE, ctx)
    aux = {} if decoding(ctx) else self.spec.losses(logits_BTE, experts, ctx)
    return Choice(experts_BTk=experts, weights_BTk=weights, aux=aux)


@spec
class NoisyTopK:
  """Top k of scores with learned noise (Shazeer et al. 2017, arXiv:1701.06538, eq. 3-5).

  importance, load: weights of the squared coefficients of variation of the sums of
  weights (eq. 6-7) and of the smooth number of tokens an expert gets (appendix A).
  Noise and the load loss belong to training; k must be less than the experts.
  """

  k: int
  importance: float = 0.1
  load: float = 0.1

  def build(self, dim: int, experts: int) -> NoisyLayer:
    if not 0 < self.k < experts:
      raise ValueError(f"NoisyTopK.k={self.k} must be from 1 to {experts - 1}.")
    return NoisyLayer(self, dim, experts)


class NoisyLayer(nnx.Module):
  """Kernels: gate, noise (embed, unmodeled), both zero at the start (appendix A)."""

  def __init__(self, spec: NoisyTopK, dim: int, experts: int):
    zero = Constant(value=0.0)
    self.spec = spec
    self.gate = Dense({"embed": dim}, {"unmodeled": experts}, init=zero, name="router")
    self.noise = Dense({"embed": dim}, {"unmodeled": experts}, init=zero, name="router")

  def __call__(self, x_BTD: jax.Array, ctx: Context) -> Choice:
    x_BTD = x_BTD.astype(jnp.float32)
    clean = noisy = self.gate(x_BTD)
    deviation = jax.nn.softplus(self.noise(x_BTD))
    if ctx.key is not None:
      noise = drawn(jax.random.normal, ctx.keys(103), clean.shape)
      noisy = clean + deviation * noise
    best, experts = jax.lax.top_k(noisy, self.spec.k + 1)
    weights = jax.nn.softmax(best[..., :-1], axis=-1)
    experts = experts[..., :-1]
    aux = {}
    if not decoding(ctx):
      aux = self._losses(clean, noisy, deviation, best, experts, weights, ctx)
    return Choice(experts_BTk=experts, weights_BTk=weights, aux=aux)

  def _losses(self, clean, noisy, deviation, best, experts, weights, ctx) -> dict:
    one_hot = jax.nn.one_hot(experts, clean.shape[-1])
    gates = jnp.sum(one_hot * weights[..., None], axis=-2)
    # An expert's rival: the k-th best score among all others.
    inside = noisy >= best[..., -2:-1]
    rival = jnp.where(inside, best[..., -1:], best[..., -2:-1])
    likely = jax.scipy.stats.norm.cdf((clean - rival) / deviation)
    load = 0.0 if ctx.key is None else self.spec.load
    return weighted(
      router_importance=(
        self.spec.importance,
        lambda: variation(mean_over_tokens(gates, ctx)),
      ),
      router_load=(load, lambda: variation(mean_over_tokens(likely, ctx))),
    )


@spec
class Hash:
  """One expert by the token's id alone (Roller et al. 2021, arXiv:2106.04426).

  Every layer has a random table of its own, made from `seed` and the layer's number.
  Nothing is learned; the weight is 1.
  """

  seed: int = 0

  def build(self, dim: int, experts: int) -> HashLayer:
    del dim
    return HashLayer(self, experts)

  def expert(self, tokens_BT: jax.Array, ctx: Context, experts: int) -> jax.Array:
    """Number of the expert, [B, T]."""
    return (hashed(tokens_BT, self.seed, ctx.number) % experts).astype(jnp.int32)


@spec
class DomainHash(Hash):
  """Random routed experts (PanGu-Sigma, arXiv:2303.10845, section 2.2.2): two levels.

  A token's domain (`decoder_domain_ids` in the batch, 0 without it) chooses one of
  `domains` equal groups of experts, its id an expert of that group.
  """

  domains: int

  def expert(self, tokens_BT: jax.Array, ctx: Context, experts: int) -> jax.Array:
    group = experts // self.domains
    within = super().expert(tokens_BT, ctx, group)
    return within if ctx.domains_BT is None else ctx.domains_BT * group + within


class HashLayer(nnx.Module):
  """No parameters."""

  def __init__(self, spec: Hash, experts: int):
    self.spec, self.experts = spec, experts

  def __call__(self, x_BTD: jax.Array, ctx: Context) -> Choice:
    experts_BT = self.spec.expert(ctx.tokens_BT, ctx, self.experts)
    ones = jnp.ones((*experts_BT.shape, 1), jnp.float32)
    return Choice(experts_BTk=experts_BT[..., None], weights_BTk=ones, aux={})


def hashed(
  tokens: jax.Array, seed: jax.Array | int, layer: jax.Array | int
) -> jax.Array:
  """Pseudo-random uint32 of each id: MurmurHash3's 32-bit finalizer (Appleby 2011)."""
  x = tokens.astype(jnp.uint32)
  for salt in (seed, layer):
    x = x + jnp.asarray(salt, jnp.uint32) * jnp.uint32(0x9E3779B9) + jnp.uint32(1)
    x = (x ^ (x >> 16)) * jnp.uint32(0x85EBCA6B)
    x = (x ^ (x >> 13)) * jnp.uint32(0xC2B2AE35)
    x = x ^ (x >> 16)
  return x


def balance_loss(
  logits_BTE: jax.Array, experts_BTk: jax.Array, ctx: Context
) -> jax.Array:
  """E * sum_e f_e P_e (arXiv:2101.03961, eq. 4-6), which is k when all are used alike.

  f_e: choices of expert e per token; P_e: its mean probability.
  """
  experts = logits_BTE.shape[-1]
  chosen = jnp.sum(jax.nn.one_hot(experts_BTk, experts), axis=-2)
  share = mean_over_tokens(chosen, ctx)
  return experts * jnp.sum(share * mean_over_tokens(jax.nn.softmax(logits_BTE), ctx))


def z_loss(logits_BTE: jax.Array, ctx: Context) -> jax.Array:
  """Mean of logsumexp(logits)^2 (ST-MoE, Zoph et al. 2022, arXiv:2202.08906, eq. 5)."""
  return mean_over_tokens(jnp.square(jax.nn.logsumexp(logits_BTE, axis=-1)), ctx)


def variation(x_E: jax.Array) -> jax.Array:
  """Squared coefficient of variation: 0 when all values are equal."""
  return jnp.var(x_E) / (jnp.square(jnp.mean(x_E)) + 1e-10)


def mean_over_tokens(x_BTX: jax.Array, ctx: Context) -> jax.Array:
  """Mean over rows and tokens that are not padding."""
  real = (ctx.segments_BT > 0).astype(jnp.float32)
  real = real.reshape(real.shape + (1,) * (x_BTX.ndim - 2))
  total = ctx.over_rows(jnp.sum(x_BTX * real, axis=(0, 1)))
  return total / jnp.maximum(ctx.over_rows(jnp.sum(real)), 1.0)


def weighted(**losses: tuple[float, Callable]) -> dict[str, jax.Array]:
  """{name: weight * loss()} of the losses whose weight is not 0."""
  return {name: weight * loss() for name, (weight, loss) in losses.items() if weight}


def decoding(ctx: Context) -> bool:
  """Whether single tokens are computed from a cache."""
  return ctx.index_B is not None

"""The family tuned: a policy in front of a frozen generator."""

from __future__ import annotations

import pytest
import torch

from countermark.core.errors import ConfigError
from countermark.generators.families import FAMILIES
from countermark.generators.families.tuned import LatentPolicy, TunedGenerator
from countermark.generators.library import load_generator


def test_an_untrained_policy_samples_the_prior():
    torch.manual_seed(0)
    policy = LatentPolicy(6, sigma=0.5)
    sampled = policy(torch.randn(20000, 6), torch.randn(20000, 6))
    assert sampled.mean(dim=0).abs().max() < 0.05 and (sampled.std(dim=0) - 1).abs().max() < 0.05
    assert policy.kl(policy.shift(torch.randn(5, 6))).max().item() == 0


def test_log_density_and_kl_agree_with_torch():
    from torch.distributions import Independent, Normal, kl_divergence

    torch.manual_seed(0)
    policy = LatentPolicy(4, sigma=0.3)
    torch.nn.init.normal_(policy.leave.weight)
    z, action = torch.randn(2, 7, 4)
    shift = policy.shift(z)
    chosen, prior = (
        Independent(Normal(policy.keep * z + s, 0.3), 1) for s in (shift, torch.zeros_like(shift))
    )
    ours = policy.log_density(action, z, shift)
    assert torch.allclose(ours - ours[0], chosen.log_prob(action) - chosen.log_prob(action)[0], atol=1e-3)
    assert torch.allclose(policy.kl(shift), kl_divergence(chosen, prior), rtol=1e-4)


def test_a_tuned_network_is_a_family_of_its_own():
    entry = FAMILIES.get("tuned")
    values = {"size": 32, "channels": 1, "latent": 128, "classes": 10, "base": {"width": 16, "max_width": 64}}
    network = entry.build_generator(entry.parse(values)).eval()
    base = load_generator("digits-32")
    network.generator.load_state_dict(base.network.state_dict())
    assert isinstance(network, TunedGenerator)
    z, labels = torch.randn(3, 128), torch.tensor([1, 2, 3])
    mixed = network.policy.keep * z[:, :64] + 0.5 * z[:, 64:]
    with torch.no_grad():
        assert torch.allclose(network(z, labels), base.network(mixed, labels), atol=1e-5)
    with pytest.raises(ConfigError, match="labels"):
        network(z)

"""Reward-tuned generation: a latent policy improved by REINFORCE or PPO, watched by a second judge."""

from countermark.generators.reward.rewards import Rewards, RewardTerms
from countermark.generators.reward.tuning import TuningResult, TuningSettings, tune_generator

__all__ = ["RewardTerms", "Rewards", "TuningResult", "TuningSettings", "tune_generator"]

"""
Sample-ratio mismatch: whether users arrive in the arms in the planned shares.

The test is valid at any number of looks (Lindon and Malek 2022): the evidence against the shares is the likelihood of
the counts under a Dirichlet prior around them, divided by their likelihood. Under the planned shares it ever reaches
1,000 with a probability of at most 1/1,000. It needs no SciPy.
"""

from math import lgamma

import numpy as np

from adloom.arrays import AnyArray

MISMATCH = 0.001  # p-value below which the arms are not comparable
CONCENTRATION = 100.0  # of the prior; a larger one finds small deviations sooner


def sample_ratio_p_value(counts: AnyArray, shares: AnyArray) -> float:
    """Return the p-value of the users in each arm (arms,) under the planned shares (arms,)."""
    prior = CONCENTRATION * shares
    marginal = _log_beta(prior + counts) - _log_beta(prior)
    return float(min(1.0, np.exp((counts * np.log(shares)).sum() - marginal)))


def _log_beta(values: AnyArray) -> float:
    return sum(map(lgamma, values)) - lgamma(values.sum())

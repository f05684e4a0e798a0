"""Linear heads on frozen features that mistrust what differs between sources.

A head fitted on features of a general network learns content: portraits of one source were real,
so portraits are real. Two linear rules on the leading principal components are averaged: logistic
regression, and a discriminant whose within-class scatter also counts the differences between
sources of photographs and between generators as nuisance, so that directions in which whole
sources differ are not used to tell the classes apart.

>>> import numpy as np
>>> generator = np.random.default_rng(0)
>>> x = generator.normal(size=(400, 12)); y = np.arange(400) % 2; x[:, 0] += 2 * y
>>> weight, bias = fit_linear_head(x, y, np.array(["a", "b"])[y])
>>> bool(np.mean((x @ weight + bias > 0) == y) > 0.8)
True
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from countermark.detectors.scoring.calibration import balanced_weights

COMPONENTS = 800
FITTED_ON = 4000


def fit_linear_head(
    features: np.ndarray,
    labels: np.ndarray,
    groups: Sequence[str] | np.ndarray,
    *,
    components: int = COMPONENTS,
    C: float = 1e-2,
    ridge: float = 0.1,
    nuisance: float = 1.0,
    seed: int = 0,
) -> tuple[np.ndarray, float]:
    """Weight float64 [D] and bias of a head on ``features`` [N, D].

    Args:
        labels: [N], 1 for synthetic; every class counts alike.
        groups: [N], source or generator; weighted by the square root of their balanced weight.
        components: Principal components that the rules may use.
        C: Inverse strength of the logistic regression's penalty.
        ridge: Added to the discriminant's scatter, relative to the mean variance.
        nuisance: Weight of the scatter between groups of one class.
        seed: Of the randomised decomposition.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.utils.extmath import randomized_svd

    y, names = np.asarray(labels).astype(int), np.asarray(groups, dtype=str)
    x = np.asarray(features, dtype=np.float32)
    mean, scale = x.mean(axis=0), x.std(axis=0) + 1e-6
    x = (x - mean) / scale
    subset = np.random.default_rng(seed).permutation(len(x))[:FITTED_ON]
    count = min(components, x.shape[1], len(subset) - 1)
    _, _, axes = randomized_svd(x[subset], count, n_iter=1, random_state=seed)
    z = (x @ axes.T).astype(np.float64)
    z /= np.sqrt(z.var(axis=0).mean()) + 1e-12
    spread = np.sqrt((x @ axes.T).var(axis=0).mean()) + 1e-12
    weights = np.sqrt(balanced_weights(y, names))
    model = LogisticRegression(C=C, max_iter=300, tol=1e-3).fit(z, y, sample_weight=weights)
    rules = [(model.coef_[0], float(model.intercept_[0]))]
    rules.append(_discriminant(z, y, names, weights, ridge, nuisance))
    weight, bias = np.zeros(count), 0.0
    for direction, offset in rules:
        size = (z @ direction).std() + 1e-12
        weight += direction / size
        bias += offset / size
    full = (weight @ axes) / spread / scale
    return full.astype(np.float64), float(bias - mean @ full)


def _discriminant(
    z: np.ndarray, y: np.ndarray, groups: np.ndarray, weights: np.ndarray, ridge: float, nuisance: float
) -> tuple[np.ndarray, float]:
    """Fisher's discriminant with the scatter between groups added as nuisance."""
    from scipy.linalg import solve

    keys = np.char.add(y.astype(str), groups)
    centred = z.copy()
    means, masses, classes = [], [], []
    for key in np.unique(keys):
        inside = keys == key
        means.append(z[inside].mean(axis=0))
        masses.append(weights[inside].sum())
        classes.append(y[inside][0])
        centred[inside] -= means[-1]
    centred *= np.sqrt(weights / weights.sum())[:, None]
    scatter = centred.T @ centred
    middles = []
    for label in (0, 1):
        mine = np.flatnonzero(np.array(classes) == label)
        share = np.array([masses[i] for i in mine])
        share /= share.sum()
        tops = np.stack([means[i] for i in mine])
        middles.append(share @ tops)
        away = (tops - middles[-1]) * np.sqrt(nuisance * share)[:, None]
        scatter += away.T @ away
    scatter[np.diag_indices(len(scatter))] += ridge
    direction = solve(scatter, middles[1] - middles[0], assume_a="pos")
    return direction, float(-direction @ (middles[0] + middles[1]) / 2)


def fit_logistic(
    features: np.ndarray,
    labels: np.ndarray,
    weights: np.ndarray,
    *,
    C: float = 1e-2,
    iterations: int = 60,
) -> tuple[np.ndarray, float]:
    """Weight float64 [D] and bias of one logistic regression on all dimensions of ``features`` [N, D].

    The traces of a generator lie in directions of little variance, which leading principal
    components leave out; so nothing is projected away here. L-BFGS is stopped early, which
    regularises beside the penalty.

    Args:
        features: float32 [N, D]; standardised inside, in place of a copy where it can be.
        labels: [N], 1 for synthetic, or targets in between.
        weights: [N], mean 1.
        C: Inverse strength of the penalty, as scikit-learn counts it.
        iterations: L-BFGS iterations at most.
    """
    import torch
    from torch.nn.functional import binary_cross_entropy_with_logits

    mean, scale = features.mean(axis=0), features.std(axis=0) + 1e-6
    x = torch.from_numpy((features - mean) / scale)
    y = torch.from_numpy(np.asarray(labels, dtype=np.float32))
    w = torch.from_numpy(np.asarray(weights, dtype=np.float32))
    parameters = torch.zeros(x.shape[1] + 1, requires_grad=True)
    optimiser = torch.optim.LBFGS(
        [parameters], max_iter=iterations, history_size=10, line_search_fn="strong_wolfe"
    )

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        logits = x @ parameters[:-1] + parameters[-1]
        loss = C * (w * binary_cross_entropy_with_logits(logits, y, reduction="none")).sum()
        loss = loss + 0.5 * parameters[:-1].square().sum()
        loss.backward()
        return loss

    optimiser.step(closure)
    found = parameters.detach().double().numpy()
    weight = found[:-1] / scale
    return weight, float(found[-1] - mean @ weight)

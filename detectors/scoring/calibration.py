"""From raw scores to probabilities, and from probabilities to thresholds; both stored as data.

A calibrator is fitted by scikit-learn on images that the detector was not trained on, and kept as
the numbers it consists of (never as a pickled object).

>>> import numpy as np
>>> logits = np.linspace(-3, 3, 200)
>>> calibrator = fit_calibrator("platt", logits, (logits > 0).astype(int))
>>> bool(calibrator(np.array([2.0]))[0] > 0.9)
True
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from countermark.core.errors import ConfigError, TrainingError

KINDS = ("platt", "beta", "isotonic")
FLOOR = 1e-4


@dataclass(frozen=True)
class Calibrator:
    """Maps logits to P(synthetic).

    Attributes:
        kind: ``platt`` (slope and offset on the logit), ``beta`` (Kull et al. 2017: two slopes on the
            log-odds' two sides and an offset) or ``isotonic`` (knots, linear in between).
        values: Platt: (slope, offset); beta: (a, b, c); isotonic: the knots' probabilities.
        knots: Isotonic: the knots' logits, increasing; otherwise empty.
    """

    kind: str
    values: tuple[float, ...]
    knots: tuple[float, ...] = ()

    def __call__(self, logits: np.ndarray) -> np.ndarray:
        """float64 probabilities in [1e-4, 1 - 1e-4], never decreasing with the logit."""
        x = np.asarray(logits, dtype=np.float64)
        if self.kind == "platt":
            p = _sigmoid(self.values[0] * x + self.values[1])
        elif self.kind == "beta":
            p = _sigmoid(_beta_features(x) @ np.asarray(self.values[:2]) + self.values[2])
        else:
            p = np.interp(x, self.knots, self.values)
        return np.clip(p, FLOOR, 1 - FLOOR)

    def shifted(self, offset: float) -> Calibrator:
        """The calibrator whose calibrated logits are larger by ``offset``, inside of the floors."""
        if self.kind == "isotonic":
            moved = _sigmoid(logit(np.asarray(self.values)) + offset)
            values = tuple(np.clip(moved, FLOOR, 1 - FLOOR).tolist())
        else:
            values = (*self.values[:-1], self.values[-1] + offset)
        return Calibrator(self.kind, values, self.knots)

    def to_config(self) -> dict[str, Any]:
        return {"kind": self.kind, "values": list(self.values), "knots": list(self.knots)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Calibrator:
        """Reads what ``to_config`` wrote; ConfigError if it is not a monotone calibrator."""
        try:
            kind = str(config["kind"])
            values = tuple(float(v) for v in config["values"])
            knots = tuple(float(v) for v in config.get("knots", ()))
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError(f"A calibrator cannot be read: {error}.") from error
        wanted = {"platt": 2, "beta": 3, "isotonic": len(knots)}
        falling = bool(np.any(np.diff(values) < 0) or np.any(np.diff(knots) <= 0))
        if (
            kind not in KINDS
            or len(values) != wanted[kind]
            or not np.all(np.isfinite(values + knots))
            or (kind == "isotonic" and (falling or not knots))
            or (kind != "isotonic" and min(values[: wanted[kind] - 1]) < 0)
        ):
            raise ConfigError(f"A {kind!r} calibrator with these values would not be monotone.")
        return cls(kind, values, knots)


def fit_calibrator(
    kind: str, logits: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None
) -> Calibrator:
    """Fits a calibrator on held-apart images.

    Args:
        kind: One of ``platt``, ``beta``, ``isotonic``.
        logits: float [N].
        labels: [N], 1 for synthetic.
        weights: [N] or None; see ``balanced_weights``.

    Raises:
        TrainingError: one class only.
    """
    from sklearn.isotonic import IsotonicRegression
    from sklearn.linear_model import LogisticRegression

    x, y = np.asarray(logits, dtype=np.float64), np.asarray(labels).astype(int)
    if len(np.unique(y)) < 2:
        raise TrainingError("Calibration needs images of both classes.", code="training.one-class")
    if kind == "isotonic":
        model = IsotonicRegression(out_of_bounds="clip").fit(x, y, sample_weight=weights)
        return Calibrator(
            kind,
            tuple(np.clip(model.y_thresholds_, FLOOR, 1 - FLOOR).tolist()),
            tuple(model.X_thresholds_.tolist()),
        )
    if kind == "platt":
        model = LogisticRegression(C=1e4).fit(x[:, None], y, sample_weight=weights)
        return Calibrator(kind, (max(float(model.coef_[0, 0]), 1e-6), float(model.intercept_[0])))
    if kind == "beta":
        model = LogisticRegression(C=1e4).fit(_beta_features(x), y, sample_weight=weights)
        slopes = np.maximum(model.coef_[0], 1e-6)
        return Calibrator(kind, (*map(float, slopes), float(model.intercept_[0])))
    raise ConfigError(f"There is no calibrator {kind!r}.", hint=f"Known: {', '.join(KINDS)}.")


def balanced_weights(labels: np.ndarray, groups: Sequence[str] | np.ndarray) -> np.ndarray:
    """Weights by which each class, and within it each group (source, generator), counts alike; mean 1."""
    labels, groups = np.asarray(labels), np.asarray(groups, dtype=str)
    weights = np.zeros(len(labels), dtype=np.float64)
    for label in np.unique(labels):
        inside = labels == label
        names, inverse, counts = np.unique(groups[inside], return_inverse=True, return_counts=True)
        weights[inside] = 1.0 / (counts[inverse] * len(names))
    return weights * len(labels) / weights.sum()


def _beta_features(x: np.ndarray) -> np.ndarray:
    """ln p and -ln(1 - p) of the sigmoid's p, stable for large logits: [N, 2], both increasing."""
    return np.stack([-np.logaddexp(0, -x), np.logaddexp(0, x)], axis=-1)


def logit(p: np.ndarray) -> np.ndarray:
    """ln(p / (1 - p)), float64, of probabilities clipped to the calibrators' floors."""
    p = np.clip(np.asarray(p, np.float64), FLOOR, 1 - FLOOR)
    return np.asarray(np.log(p) - np.log1p(-p))


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 0.5 * (1 + np.tanh(0.5 * x))

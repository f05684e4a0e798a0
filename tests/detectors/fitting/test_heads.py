import numpy as np

from countermark.core.seeds import rng
from countermark.core.stats import auroc
from countermark.detectors.fitting.heads import fit_linear_head


def _sources(seed: int, count: int = 24, each: int = 60) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Axis 0 tells the classes apart weakly everywhere; axis 1 is what a source shows (content)."""
    generator = rng(seed)
    features, labels, groups = [], [], []
    for source in range(count):
        label = source % 2
        x = generator.normal(size=(each, 20))
        x[:, 0] += 1.0 * label
        x[:, 1] += generator.normal(0, 2.0)
        features.append(x)
        labels += [label] * each
        groups += [f"s{seed}-{source}"] * each
    return np.concatenate(features), np.array(labels), np.array(groups)


def test_nuisance_scatter_helps_on_unseen_sources() -> None:
    found: dict[float, list[float]] = {0.0: [], 3.0: []}
    new, truth, _ = _sources(100)
    for seed in range(8):
        x, y, groups = _sources(seed, count=8)
        for nuisance, values in found.items():
            values.append(auroc(truth, new @ fit_linear_head(x, y, groups, nuisance=nuisance)[0]))
    assert np.mean(found[3.0]) > np.mean(found[0.0]) and np.mean(found[3.0]) > 0.6


def test_heads_repeat_and_undo_the_scaling() -> None:
    x, y, groups = _sources(3)
    first, bias = fit_linear_head(x, y, groups)
    again, same = fit_linear_head(x, y, groups)
    assert np.array_equal(first, again) and bias == same
    scaled, moved = fit_linear_head(x * 100 + 7, y, groups)
    assert np.corrcoef(x @ first + bias, (x * 100 + 7) @ scaled + moved)[0, 1] > 0.999

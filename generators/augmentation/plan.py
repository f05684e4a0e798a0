"""How many images each class gets.

>>> fill_up([50, 20, 10])
[0, 30, 40]
>>> allot([50, 20, 10], 40)
[0, 15, 25]
"""

from __future__ import annotations

from collections.abc import Sequence

from countermark.core.errors import ConfigError


def fill_up(counts: Sequence[int]) -> list[int]:
    """Images that bring every class to the size of the largest."""
    return [max(counts) - count for count in counts]


def allot(counts: Sequence[int], total: int) -> list[int]:
    """Shares ``total`` new images out so that the smallest classes are raised first, then all alike.

    Raises:
        ConfigError: a negative total, or no classes.
    """
    if total < 0 or not counts:
        raise ConfigError(f"{total} images cannot be shared out over {len(counts)} classes.")
    # The level to which water would rise if it were poured over the classes.
    low, high = min(counts), max(counts) + total
    while low < high:
        level = (low + high + 1) // 2
        if sum(max(level - count, 0) for count in counts) <= total:
            low = level
        else:
            high = level - 1
    extra = [max(low - count, 0) for count in counts]
    left = total - sum(extra)
    for index in sorted(range(len(counts)), key=lambda i: (counts[i] + extra[i], i))[:left]:
        extra[index] += 1
    return extra

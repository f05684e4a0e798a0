"""Lays out edits made by others, from clones of their repositories: what ``benchmarks.regions`` measures on.

    python -m region_training.edits MIRRORS OUT

``benchmarks/regions-edits.tsv`` names every picture by repository and git blob id. A mask is a picture of its
own (white is edited, unless ``inverted``; or a member of a ZIP), or the ``difference`` of the two pictures.
"""

from __future__ import annotations

import argparse
import csv
import io
import subprocess
import zipfile
from pathlib import Path

import cv2
import numpy as np

LIST = Path(__file__).resolve().parents[2] / "benchmarks" / "regions-edits.tsv"
#: Grey levels that a pixel has to change by, and windows (pixels) in which specks fall out and holes close.
CHANGED, OPENED, CLOSED, ROUNDED = 12, 3, 15, 7
ENDINGS = {b"\x89PNG": ".png", b"\xff\xd8\xff\xe0": ".jpg", b"\xff\xd8\xff\xe1": ".jpg"}


def blob(mirrors: Path, repository: str, name: str) -> bytes:
    """A blob of a clone, bare or not."""
    folder = mirrors / repository.replace("/", "+")
    for git in (folder, folder / "repo", folder / "repo" / ".git", folder / ".git"):
        if (git / "HEAD").exists():
            found = subprocess.run(["git", "--git-dir", git, "cat-file", "blob", name], capture_output=True)
            if found.returncode == 0:
                return found.stdout
    raise FileNotFoundError(f"{repository} {name}")


def picture(data: bytes, flag: int = cv2.IMREAD_COLOR) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(data, np.uint8), flag)


def difference(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """bool: where two pictures differ, without specks, holes closed."""
    gap = np.abs(one.astype(int) - other).max(axis=2)
    mask = (gap > CHANGED).astype(np.uint8)
    for step, side in ((cv2.MORPH_OPEN, OPENED), (cv2.MORPH_CLOSE, CLOSED), (cv2.MORPH_OPEN, ROUNDED)):
        mask = cv2.morphologyEx(mask, step, np.ones((side, side)))
    return mask > 0


def mask_of(row: dict[str, str], mirrors: Path, edited: np.ndarray, original: bytes) -> np.ndarray:
    if row["mask"] == "difference":
        return difference(picture(original), edited)
    data = blob(mirrors, row["mask_repository"], row["mask"])
    if row["member"] and row["member"] != "inverted":
        archive = zipfile.ZipFile(io.BytesIO(data))
        name = next(n for n in archive.namelist() if n.endswith(row["member"]))
        data = archive.read(name)
    white = picture(data, cv2.IMREAD_GRAYSCALE) > 127
    return ~white if row["member"] == "inverted" else white


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("mirrors", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    for row in csv.DictReader(LIST.open(encoding="utf-8"), delimiter="\t"):
        folder = options.out / row["group"] / row["name"]
        folder.mkdir(parents=True, exist_ok=True)
        files = {name: blob(options.mirrors, row["repository"], row[name]) if row[name] else b""
                 for name in ("edited", "original")}  # fmt: skip
        for name, data in files.items():
            if data:
                (folder / f"{name}{ENDINGS.get(data[:4], '.jpg')}").write_bytes(data)
        if files["edited"]:
            edited = picture(files["edited"])
            mask = mask_of(row, options.mirrors, edited, files["original"])
            if mask.shape == edited.shape[:2]:
                cv2.imwrite(str(folder / "mask.png"), mask.astype(np.uint8) * 255)


if __name__ == "__main__":
    main()

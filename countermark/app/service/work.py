"""What the workers do with one picture: sign, verify, scan; and the rehearsal before the first.

Uploads lie in memory. Where a function wants a file, it gets one that has no name on any disk, so
that nothing is left behind when the process is killed.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from countermark.core.errors import CountermarkError, ImageError, ProvenanceError
from countermark.core.files import process_runs
from countermark.core.images import encode_image, read_image, sniff_format
from countermark.core.results import ScanResult, SignedImage, Verification

if TYPE_CHECKING:
    from countermark.app.service.context import Context

SUFFIXES = {"jpeg": ".jpg", "heif": ".heic", "tiff": ".tif"}
#: What errors call a picture that has no name.
UNNAMED = "The picture"

_FOLDER = "countermark-service-"


@contextmanager
def as_file(data: bytes) -> Iterator[str]:
    """A path under which ``data`` can be read, as long as the block runs."""
    if hasattr(os, "memfd_create") and os.path.isdir("/proc/self/fd"):
        descriptor = os.memfd_create("countermark", os.MFD_CLOEXEC)
        with os.fdopen(descriptor, "wb", buffering=0) as stream:
            view = memoryview(data)
            while view:
                view = view[stream.write(view) :]
            yield f"/proc/self/fd/{descriptor}"
        return
    with workplace() as folder:
        path = folder / "image"
        path.write_bytes(data)
        yield str(path)


@contextmanager
def workplace() -> Iterator[Path]:
    """A private folder that is removed afterwards; ``sweep`` removes those of killed processes."""
    with tempfile.TemporaryDirectory(prefix=f"{_FOLDER}{os.getpid()}-") as folder:
        yield Path(folder)


def sweep() -> int:
    """Removes work folders whose process is gone; returns how many."""
    removed = 0
    for path in Path(tempfile.gettempdir()).glob(f"{_FOLDER}*-*"):
        number = path.name.removeprefix(_FOLDER).partition("-")[0]
        with suppress(OSError):
            if number.isdigit() and not process_runs(int(number)) and path.stat().st_uid == os.getuid():
                shutil.rmtree(path)
                removed += 1
    return removed


def sign_picture(
    context: Context, data: bytes, *, name: str = UNNAMED, **options: Any
) -> tuple[bytes, SignedImage]:
    """The signed picture in the format of ``data``, and what ties it to its record.

    Args:
        options: As for ``countermark.sign``; the identity is the service's unless given.
    """
    from countermark.app.sign import sign

    kind = sniff_format(data)
    if kind is None:
        raise unsupported(name)
    with as_file(data) as source, workplace() as folder:
        destination = folder / f"signed{SUFFIXES.get(kind, f'.{kind}')}"
        options = {"identity": context.settings.identity, **options}
        with _named(source, name):
            signed = sign(
                source,
                destination,
                repository=context.repository,
                limits=context.settings.limits,
                **options,
            )
        result = destination.read_bytes()
    if signed.unrecorded:  # nobody gets a picture whose credential could never be found again
        raise ProvenanceError(
            f"{name} was not signed, since no record of it can be kept: {signed.unrecorded}",
            code="repository.unavailable",
            hint="Try again later, or sign without a record.",
        )
    context.metrics.signed.inc()
    return result, signed


def verify_picture(
    context: Context, data: bytes, *, recover: bool = True, name: str = UNNAMED, checked: bool = False
) -> Verification:
    """What ``countermark.verify`` finds, with the digest; ``path`` is empty.

    Args:
        checked: The picture has been decoded before; else it is now.

    Raises:
        ImageError: the bytes are no picture, or one that may not be read.
    """
    from countermark.app.verify import verify

    if not checked:
        read_image(data, context.settings.limits, name=name)
    with as_file(data) as path, _named(path, name):
        found = verify(
            path, recover=recover, repository=context.repository, limits=context.settings.limits, digest=True
        )
    return replace(found, path="")


def scan_picture(
    context: Context, data: bytes, *, max_fpr: float = 0.01, stress: bool = False, name: str = UNNAMED
) -> ScanResult:
    """What ``countermark.scan`` finds; ``path`` is empty.

    Raises:
        ImageError: the bytes are no picture, or one that may not be read.
    """
    from countermark.app.scan.run import scan

    with as_file(data) as path:
        (result,) = scan(
            path,
            max_fpr=max_fpr,
            stress=stress,
            detector=context.detector(),
            limits=context.settings.limits,
            workers=1,
            repository=context.repository,
        )
        if result.error is not None and result.error.code.startswith("image.") and result.sha256 is None:
            message = result.error.message.replace(path, name)
            raise ImageError(message, code=result.error.code, hint=result.error.hint)
    return replace(result, path="")


def unsupported(name: str) -> ImageError:
    """The error for bytes that are no picture."""
    return ImageError(
        f"{name} is not an image in a supported format.",
        code="image.unsupported",
        hint="Supported: JPEG, PNG, WebP, AVIF, HEIC, GIF, TIFF, BMP.",
    )


@contextmanager
def _named(path: str, name: str) -> Iterator[None]:
    """Errors call the picture by its name, not by the path that stands for it."""
    try:
        yield
    except CountermarkError as error:
        error.message = error.message.replace(path, name)
        raise


def rehearse(context: Context) -> None:
    """One scan and one verification of a drawn picture, so that everything is loaded."""
    import numpy as np

    ramp = np.linspace(0, 255, 256, dtype=np.uint8)
    picture = np.stack([np.tile(ramp, (256, 1)), np.tile(ramp[:, None], (1, 256)), np.full((256,) * 2, 90)])
    pixels = picture.transpose(1, 2, 0).astype(np.uint8)
    data = encode_image(pixels, "jpeg")
    steps: list[Callable[[], object]] = [
        lambda: verify_picture(context, data),
        context.detector,
        lambda: scan_picture(context, data, stress=True),
        lambda: context.detector().heatmap(pixels),
    ]
    for step in steps:
        if context.stopping.is_set():  # told to stop while it starts
            return
        with suppress(CountermarkError):  # whoever comes first will be told
            step()

"""The one gate through which every image enters: bounds first, decode last.

Order of checks: byte cap, magic allow-list (the file's extension says nothing), header
dimensions and pixel cap, directories (``exif``), decode, EXIF orientation, RGB uint8 (``decoding``).

>>> import numpy as np
>>> grey = encode_image(np.full((4, 6, 3), 128, np.uint8), "png")
>>> image = read_image(grey)
>>> image.format, image.width, image.height, image.pixels.dtype.name
('png', 6, 4, 'uint8')
"""

from __future__ import annotations

import io
import os
import re
import stat
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from countermark.core.decoding import Pixels as Pixels
from countermark.core.decoding import large_webp, orientation_of, reduce_early, to_rgb, turned
from countermark.core.errors import ImageError, OutputError
from countermark.core.exif import blobs, modest, of_webp, orientation
from countermark.core.files import atomic_write, is_temporary, open_regular, sha256_bytes
from countermark.core.frames import Frames, frames_of
from countermark.core.headers import bit_depth, header_size, too_many_parts
from countermark.core.raw import is_raw

try:  # HEIC is read where the library is there
    import pillow_heif
except ImportError:  # pragma: no cover
    pillow_heif = None  # type: ignore[assignment]
else:
    pillow_heif.register_heif_opener()

#: Pillow refuses pictures from twice this size on. The gate checks sizes itself, earlier; what it lets in is
#: to be opened.
_PILLOW_PIXELS = 100_000_000
if Image.MAX_IMAGE_PIXELS is not None and Image.MAX_IMAGE_PIXELS < _PILLOW_PIXELS:
    Image.MAX_IMAGE_PIXELS = _PILLOW_PIXELS

#: Extensions that a folder walk offers to the gate. The gate itself goes by content.
EXTENSIONS = frozenset(
    ".jpg .jpeg .jpe .jfif .png .apng .webp .avif .gif .tif .tiff .bmp .dib .heic .heif".split()
)


@dataclass(frozen=True)
class Limits:
    """Bounds that hold before anything is decoded.

    Attributes:
        max_bytes: Largest file that is read.
        max_pixels: Largest width x height, from the header.
        max_side: Longest side, from the header.
        max_whole: Largest width x height of AVIF and HEIC, whose decoders hold all of a picture several times
            (AVIF 9 bytes a pixel): no picture takes much more than a gigabyte.
    """

    max_bytes: int = 256 * 1024 * 1024
    max_pixels: int = 200_000_000
    max_side: int = 40_000
    max_whole: int = 120_000_000


DEFAULT_LIMITS = Limits()
#: Passes of a JPEG over its picture that are always decoded, and pixels that more passes may go over.
_MAX_PASSES, _MAX_PASSED = 32, 1_000_000_000
#: Formats that are only decoded whole.
_WHOLE = frozenset({"avif", "heif"})


@dataclass(frozen=True)
class LoadedImage:
    """A decoded image.

    Attributes:
        pixels: uint8, H x W x 3, RGB, EXIF orientation applied, alpha laid over white. Reduced where that
            was asked for: then smaller than ``width`` and ``height``, and ``alpha`` is None.
        format: ``jpeg``, ``png``, ``webp``, ``avif``, ``gif``, ``tiff``, ``bmp`` or ``heif``.
        sha256: Of the file's bytes.
        data: The file's bytes.
        notes: Things worth knowing, such as ``animated: first of 12 frames``.
        alpha: uint8, H x W, the transparency that was laid over white; None where there is none.
        frames: Pictures in the file: frames of an animation, pages of a TIFF, parts of an MPO.
        bits: Bits a channel in the file, before they became 8.
        mode: How the file holds its pixels, as Pillow names it (``RGB``, ``CMYK``, ``P`` …).
        size: (width, height) of the whole picture as it is shown; None where that is the size of ``pixels``.
    """

    pixels: Pixels
    format: str
    sha256: str
    data: bytes = field(repr=False)
    notes: tuple[str, ...] = ()
    alpha: np.ndarray | None = field(default=None, repr=False)
    frames: int = 1
    bits: int = 8
    mode: str = "RGB"
    size: tuple[int, int] | None = None

    @property
    def width(self) -> int:
        return self.size[0] if self.size else int(self.pixels.shape[1])

    @property
    def height(self) -> int:
        return self.size[1] if self.size else int(self.pixels.shape[0])


def read_image(
    source: Path | str | bytes,
    limits: Limits = DEFAULT_LIMITS,
    *,
    name: str | None = None,
    reduce: bool = False,
) -> LoadedImage:
    """Reads one image from a path or from bytes; ``name`` is what errors call bytes.

    Args:
        reduce: Divide the sides of a large picture by the whole number that leaves at least 2,048 pixels of
            the short one: for looking at, not for writing. A fraction of the time and memory.

    Raises:
        ImageError: with code ``image.missing``, ``image.not-a-file``, ``image.empty``,
            ``image.too-large``, ``image.raw``, ``image.unsupported``, ``image.too-many-pixels``,
            ``image.truncated`` or ``image.unreadable``.
    """
    name = name or ("image" if isinstance(source, bytes) else str(source))
    data = source if isinstance(source, bytes) else read_bytes(source, limits)
    if not data:
        raise ImageError(f"{name} is empty.", code="image.empty", hint="Check how it was copied.")
    if len(data) > limits.max_bytes:
        raise _too_large(name, len(data), limits)
    kind = sniff_format(data)
    if kind in ("tiff", None) and is_raw(data):
        raise ImageError(
            f"{name} is a raw photograph: all that can be read of it is its embedded preview.",
            code="image.raw",
            hint="Develop it into a TIFF or JPEG first, or take the JPEG that the camera wrote beside it.",
        )
    if kind is None:
        raise ImageError(
            f"{name} is not an image in a supported format.",
            code="image.unsupported",
            hint="The page takes the pictures out of a PDF or a ZIP: countermark serve"
            if data.startswith((b"%PDF-", b"PK\x03\x04"))
            else "Supported: JPEG, PNG, WebP, AVIF, HEIC, GIF, TIFF, BMP.",
        )
    if kind == "heif" and pillow_heif is None:
        raise ImageError(
            f"{name} is HEIC, and the library that reads it is not installed.",
            code="image.unsupported",
            hint="Install the package pillow-heif.",
        )
    claimed = header_size(kind, data)
    if claimed is not None:
        _check_dimensions(name, claimed, limits)
    return _decode(name, data, kind, limits, reduce)


def read_bytes(path: Path | str, limits: Limits = DEFAULT_LIMITS) -> bytes:
    """The bytes of a regular file within the byte cap; never blocks on a pipe or device."""
    path = Path(path)
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            os.listdir(path)  # one that can be read is walked by whoever meets it
        if not stat.S_ISREG(status.st_mode):
            raise ImageError(f"{path} is not a regular file.", code="image.not-a-file")
        if status.st_size > limits.max_bytes:
            raise _too_large(str(path), status.st_size, limits)
        with open_regular(path) as stream:
            # Asked for what there is: Python sets aside as much memory as it is asked to read.
            return stream.read(status.st_size + 1)
    except FileNotFoundError as error:
        raise ImageError(f"{path} does not exist.", code="image.missing") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ImageError(f"{path} cannot be opened: {reason}.", code="image.unreadable") from error


def sniff_format(data: bytes) -> str | None:
    """The format by its first bytes, or None if it is not on the allow-list."""
    head = data[:32]
    if head.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp"
    if head[:6] in (b"GIF87a", b"GIF89a"):
        return "gif"
    if head[:4] in (b"II*\0", b"MM\0*"):
        return "tiff"
    if head[:2] == b"BM":
        return "bmp"
    if head[4:8] == b"ftyp":
        if head[8:12] in (b"avif", b"avis"):
            return "avif"
        if head[8:12] in (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1"):
            return "avif" if b"avif" in data[16:64] else "heif"
    return None


def encode_image(pixels: Pixels, format: str, *, quality: int = 95) -> bytes:
    """Encodes uint8 RGB pixels; ``quality`` (1-100) is for the lossy formats, 4:2:0 chroma."""
    stream = io.BytesIO()
    _save(Image.fromarray(np.ascontiguousarray(pixels)), stream, format, quality)
    return stream.getvalue()


def write_image(path: Path | str, pixels: Pixels, *, quality: int = 95, overwrite: bool = False) -> Path:
    """Encodes by the extension of ``path`` and writes atomically; never overwrites unless told."""
    return atomic_write(path, encode_image(pixels, format_for(path), quality=quality), overwrite=overwrite)


def format_for(path: Path | str) -> str:
    """The output format that an extension stands for; OutputError if there is none."""
    suffix = Path(path).suffix.lower()
    known = {".jpg": "jpeg", ".jpeg": "jpeg", ".png": "png", ".webp": "webp", ".avif": "avif"}
    known |= {".tif": "tiff", ".tiff": "tiff", ".bmp": "bmp", ".gif": "gif"}
    if suffix not in known:
        raise OutputError(
            f"{suffix or 'No extension'} is not a format that Countermark writes.",
            code="output.format",
            hint=f"Use one of {', '.join(sorted(known))}.",
        )
    return known[suffix]


def iter_image_paths(
    sources: Iterable[Path | str],
    *,
    recursive: bool = True,
    follow_symlinks: bool = False,
    extensions: frozenset[str] = EXTENSIONS,
) -> Iterator[Path]:
    """Yields files in a stable order: named files as they are, folders by ``extensions`` (of images).

    A named path that does not exist is yielded too, and so is a folder that cannot be read, so that
    the gate can report it. Files that are half written (``core.files``) are no pictures yet.
    """
    unreadable: list[OSError] = []
    for source in map(Path, sources):
        if not source.is_dir():
            yield source
            continue
        unreadable.clear()
        for folder, subfolders, names in os.walk(
            source, onerror=unreadable.append, followlinks=follow_symlinks
        ):
            subfolders.sort()
            if not recursive:
                subfolders.clear()
            for name in sorted(names):
                path = Path(folder, name)
                if path.suffix.lower() not in extensions or is_temporary(name):
                    continue
                if follow_symlinks or not path.is_symlink():
                    yield path
        yield from (Path(os.fsdecode(error.filename)) for error in unreadable)


def _decode(name: str, data: bytes, kind: str, limits: Limits, reduce: bool) -> LoadedImage:
    notes: list[str] = []
    endless = too_many_parts(kind, data) or (kind == "jpeg" and _too_many_scans(data))
    if endless or not all(map(modest, blobs(kind, data))):
        raise ImageError(
            f"{name} is damaged: what it lists is more than it can hold.",
            code="image.unreadable",
            hint="Fetch it again from where it came from.",
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            small = large_webp(data, notes) if reduce and kind == "webp" else None
            if small is not None:
                turn = orientation(of_webp(data)) or 1
                whole = header_size(kind, data)
                size = whole[::-1] if whole and turn >= 5 else whole
                return LoadedImage(
                    turned(small, turn), kind, sha256_bytes(data), data, tuple(notes), size=size
                )
            with Image.open(io.BytesIO(data), formats=[kind.upper()]) as image:
                _check_dimensions(name, image.size, limits, whole=kind in _WHOLE)
                # Of a GIF or TIFF Pillow counts pictures by opening each; others say it in their headers.
                own = kind in ("gif", "tiff")
                frames = frames_of(kind, data) if own else Frames(getattr(image, "n_frames", 1), True)
                if frames.number > 1:
                    notes.append(_several(kind, frames))
                mode = image.mode
                bits = max(bit_depth(kind, data), 16 if mode.startswith("I;16") else 8)
                whole = image.size
                factor = reduce_early(image, reduce)
                image.load()
                if kind == "tiff":  # Pillow turns it while it loads
                    ImageOps.exif_transpose(image, in_place=True)
                    whole = whole if factor > 1 or image.size != whole[::-1] else image.size
                turn = 1 if kind == "tiff" else orientation_of(image)
                pixels, alpha = to_rgb(image, notes, factor)
        pixels, alpha = turned(pixels, turn), None if alpha is None else turned(alpha, turn)
        whole = whole[::-1] if turn >= 5 else whole
        size = None if whole == (pixels.shape[1], pixels.shape[0]) else whole
        digest = sha256_bytes(data)
        return LoadedImage(pixels, kind, digest, data, tuple(notes), alpha, frames.number, bits, mode, size)
    except ImageError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_many_pixels(name, str(error)) from error
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        # Pillow names the stream by its address, which would differ from run to run.
        reason = re.sub(r"image file <_io\.BytesIO object at 0x[0-9a-fA-F]+>", "what it holds", str(error))
        truncated = "truncat" in reason.lower() or "broken" in reason.lower()
        raise ImageError(
            f"{name} is damaged{' (truncated)' if truncated else ''}: {reason}.",
            code="image.truncated" if truncated else "image.unreadable",
            hint="Fetch it again from where it came from.",
        ) from error
    except MemoryError as error:
        raise _too_many_pixels(name, "it does not fit into memory") from error
    except Exception as error:  # decoders raise whatever they like on hostile bytes
        raise ImageError(
            f"{name} cannot be decoded ({type(error).__name__}: {error}).", code="image.unreadable"
        ) from error


def _several(kind: str, frames: Frames) -> str:
    words = {"tiff": "pages", "jpeg": "pictures"}.get(kind, "frames")
    count = f"{frames.number}" if frames.exact else f"at least {frames.number}"
    return f"{'animated' if words == 'frames' else 'several'}: first of {count} {words}"


def _too_many_scans(data: bytes) -> bool:
    """Whether a JPEG passes over its pixels so often that decoding takes minutes.

    A progressive file has about ten passes. A pass of ten bytes may go over every pixel.
    """
    width, height = header_size("jpeg", data) or (0, 0)
    passes = data.count(b"\xff\xda")
    return passes > _MAX_PASSES and passes * width * height > _MAX_PASSED


def _check_dimensions(name: str, size: tuple[int, int], limits: Limits, *, whole: bool = False) -> None:
    width, height = size
    most = min(limits.max_pixels, limits.max_whole) if whole else limits.max_pixels
    if width * height > most or max(width, height) > limits.max_side:
        raise _too_many_pixels(name, f"{width} x {height}")


def _too_many_pixels(name: str, what: str) -> ImageError:
    return ImageError(
        f"{name} claims more pixels than are decoded ({what}).",
        code="image.too-many-pixels",
        hint="Raise the pixel limit only for files that you trust.",
    )


def _too_large(name: str, size: int, limits: Limits) -> ImageError:
    return ImageError(
        f"{name} has {size:,} bytes; the limit is {limits.max_bytes:,}.", code="image.too-large"
    )


def _save(image: Image.Image, stream: IO[bytes], format: str, quality: int) -> None:
    if format == "jpeg":
        image.save(stream, "JPEG", quality=quality, subsampling=2 if quality < 96 else 0)
    elif format in ("webp", "avif"):
        image.save(stream, format.upper(), quality=quality)
    elif format in ("png", "tiff", "bmp", "gif"):
        image.save(stream, format.upper())
    else:
        raise OutputError(f"{format!r} is not a format that Countermark writes.", code="output.format")

"""Small ONNX models, written byte by byte: what a tower's block needs, without the package onnx.

Only what onnxruntime reads of a model is written: nodes, constants, one input, outputs. The
message numbers are those of ``onnx.proto`` (ONNX 1.16, IR version 8).

>>> graph = Graph("twice", ("x", np.float32, ("n", 2)), [("y", np.float32, ("n", 2))])
>>> graph.constant("two", np.array([2], np.float32))
'two'
>>> graph.node("Mul", ["x", "two"], ["y"])
>>> len(graph.model()) > 50
True
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

IR_VERSION = 8
OPSET = 17
#: Operators of onnxruntime itself: attention, integer products.
CONTRIB = "com.microsoft"

_DTYPES = {
    np.dtype(np.float32): 1,
    np.dtype(np.uint8): 2,
    np.dtype(np.int8): 3,
    np.dtype(np.int32): 6,
    np.dtype(np.int64): 7,
}

#: Name, dtype and dimensions (a text stands for one that is only known when it runs).
Value = tuple[str, type, Sequence[int | str]]


class Graph:
    """A model with one input, filled node by node in the order of execution."""

    def __init__(self, name: str, source: Value, results: Sequence[Value]) -> None:
        self._parts: list[bytes] = [_text(2, name), _field(11, _value(source))]
        self._parts += [_field(12, _value(result)) for result in results]

    def constant(self, name: str, array: np.ndarray) -> str:
        """Adds an initializer and returns its name."""
        array = np.asarray(array)
        dims = b"".join(_number(1, n) for n in array.shape)
        data = np.ascontiguousarray(array).tobytes()
        self._parts.append(
            _field(5, dims + _number(2, _DTYPES[array.dtype]) + _text(8, name) + _field(9, data))
        )
        return name

    def node(
        self,
        operator: str,
        inputs: Sequence[str],
        outputs: Sequence[str],
        domain: str = "",
        **attributes: object,
    ) -> None:
        """Adds a node; attributes are numbers or lists of integers, an empty name skips an input."""
        body = b"".join([_text(1, name) for name in inputs] + [_text(2, name) for name in outputs])
        body += _text(4, operator) + b"".join(_field(5, _attribute(k, v)) for k, v in attributes.items())
        self._parts.append(_field(1, body + (_text(7, domain) if domain else b"")))

    def model(self) -> bytes:
        """The serialised model."""
        opsets = _field(8, _number(2, OPSET)) + _field(8, _text(1, CONTRIB) + _number(2, 1))
        return _number(1, IR_VERSION) + _field(7, b"".join(self._parts)) + opsets


def _attribute(name: str, value: object) -> bytes:
    head = _text(1, name)
    if isinstance(value, bool | int):
        return head + _number(3, int(value)) + _number(20, 2)
    if isinstance(value, float):
        return head + b"\x15" + np.float32(value).tobytes() + _number(20, 1)
    if isinstance(value, list | tuple):
        return head + b"".join(_number(8, int(n)) for n in value) + _number(20, 7)
    raise TypeError(f"An attribute is a number or a list of integers, not {type(value).__name__}.")


def _value(value: Value) -> bytes:
    name, dtype, dims = value
    shape = b"".join(_field(1, _number(1, n) if isinstance(n, int) else _text(2, n)) for n in dims)
    tensor = _number(1, _DTYPES[np.dtype(dtype)]) + _field(2, shape)
    return _text(1, name) + _field(2, _field(1, tensor))


def _varint(value: int) -> bytes:
    value &= 2**64 - 1
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    found.append(value)
    return bytes(found)


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _field(field: int, data: bytes) -> bytes:
    return b"".join((_varint(field << 3 | 2), _varint(len(data)), data))


def _text(field: int, value: str) -> bytes:
    return _field(field, value.encode())

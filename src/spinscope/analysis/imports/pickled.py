"""Pickled arrays, dictionaries, lists, text and numbers, read as data: nothing in them is called.

A pickle is a program for a stack machine, and `pickle.load` calls whatever it names. Here its
operations are decoded by `pickletools` and only those that build plain data are carried out; the
few functions by which NumPy pickles arrays are carried out by our own code, on checked arguments.
"""

from __future__ import annotations

import pickletools
import re
from typing import Any

import numpy as np

_TYPE = re.compile(r"[<>|=]?([buif])([0-9]{1,2})|\??|b1|O8?")

_ARRAY = {
    "numpy.core.multiarray _reconstruct",
    "numpy._core.multiarray _reconstruct",
}
_SCALAR = {"numpy.core.multiarray scalar", "numpy._core.multiarray scalar"}
_BUFFER = {"numpy.core.numeric _frombuffer", "numpy._core.numeric _frombuffer"}
_KNOWN = _ARRAY | _SCALAR | _BUFFER | {"numpy ndarray", "numpy dtype", "_codecs encode"}

_VALUES = {
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT",
    "STRING", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8",
    "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BYTEARRAY8",
}  # fmt: skip
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_EMPTY = {"EMPTY_LIST": list, "EMPTY_DICT": dict, "EMPTY_TUPLE": tuple}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_MARK = object()


class Refused(ValueError):
    """The pickle names something other than plain data."""


class _Named(str):
    """Function or class that a pickle names, as "module name"."""


class _Type:
    """Type of the elements of an array."""

    def __init__(self, text: Any):
        if not isinstance(text, str) or not _TYPE.fullmatch(text):
            raise ValueError(f"arrays of type {text!r:.40} are not read")
        self.text, self.order = text, "="

    def set_state(self, state: Any) -> None:
        if not isinstance(state, tuple) or len(state) < 2 or state[1] not in ("<", ">", "|", "="):
            raise ValueError(f"arrays with the byte order {state!r:.40} are not read")
        self.order = state[1]

    @property
    def objects(self) -> bool:
        return self.text.startswith("O")

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(self.text).newbyteorder("=" if self.order == "|" else self.order)


class Array:
    """Array of a pickle.

    Attributes
    ----------
    value : array, list or None
        Its elements; a list for an array of objects.
    """

    value: Any = None

    def set_state(self, state: Any) -> None:
        """Take shape, type and elements."""
        _, shape, kind, fortran, content = state
        if not isinstance(kind, _Type) or not _is_shape(shape):
            raise ValueError("an array has no shape or type")
        if kind.objects:
            if not isinstance(content, list):
                raise ValueError("an array of objects must hold a list")
            self.value = content
        else:
            self.value = _elements(content, kind, shape, "F" if fortran else "C")


def _is_shape(shape: Any) -> bool:
    return isinstance(shape, tuple) and all(isinstance(n, int) and 0 <= n < 2**40 for n in shape)


def _elements(content: Any, kind: Any, shape: Any, order: Any) -> np.ndarray:
    """Array from its bytes."""
    if not isinstance(kind, _Type) or kind.objects or not isinstance(content, bytes | bytearray):
        raise ValueError("an array has no bytes or type")
    if not _is_shape(shape) or order not in ("C", "F"):
        raise ValueError("an array has no shape")
    return np.frombuffer(content, kind.dtype).reshape(shape, order=order)


def loads(content: bytes) -> Any:
    """Read a pickle of plain data; arrays become `Array` or NumPy arrays.

    Parameters
    ----------
    content : bytes
        The pickle.

    Raises
    ------
    Refused
        Where it names a function or class other than those of arrays; it is not called.
    ValueError
        Where it is damaged, or holds other operations.
    """
    try:
        return _Machine().run(content)
    except Refused:
        raise
    except Exception as error:  # any operation may fail on a damaged pickle
        text = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(text) from error


class _Machine:
    """Stack and memory of a pickle."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self, content: bytes) -> Any:
        for operation, argument, _ in pickletools.genops(content):
            name = operation.name
            if name == "STOP":
                return self.stack.pop()
            if name in _VALUES:
                self.stack.append(argument)
            elif name in _CONSTANTS:
                self.stack.append(_CONSTANTS[name])
            elif name in _EMPTY:
                self.stack.append(_EMPTY[name]())
            elif name in _TUPLES:
                items = self.stack[-_TUPLES[name] :]
                del self.stack[-_TUPLES[name] :]
                self.stack.append(tuple(items))
            elif name not in ("PROTO", "FRAME"):
                step = getattr(self, f"do_{name.lower()}", None)
                if step is None:
                    raise Refused(f"the operation {name}")
                step(argument)
        raise ValueError("it does not end")

    def marked(self) -> list[Any]:
        """Take everything above the last mark."""
        place = next(k for k in range(len(self.stack) - 1, -1, -1) if self.stack[k] is _MARK)
        items = self.stack[place + 1 :]
        del self.stack[place:]
        return items

    def do_mark(self, _: Any) -> None:
        self.stack.append(_MARK)

    def do_pop(self, _: Any) -> None:
        self.stack.pop()

    def do_memoize(self, _: Any) -> None:
        self.memo[len(self.memo)] = self.stack[-1]

    def do_put(self, number: int) -> None:
        self.memo[number] = self.stack[-1]

    do_binput = do_long_binput = do_put

    def do_get(self, number: int) -> None:
        self.stack.append(self.memo[number])

    do_binget = do_long_binget = do_get

    def do_tuple(self, _: Any) -> None:
        self.stack.append(tuple(self.marked()))

    def do_list(self, _: Any) -> None:
        self.stack.append(self.marked())

    def do_append(self, _: Any) -> None:
        value = self.stack.pop()
        self._list().append(value)

    def do_appends(self, _: Any) -> None:
        values = self.marked()
        self._list().extend(values)

    def _list(self) -> list[Any]:
        if not isinstance(self.stack[-1], list):
            raise ValueError("something is appended to what is no list")
        return self.stack[-1]

    def do_dict(self, _: Any) -> None:
        items = self.marked()
        self.stack.append(dict(zip(items[::2], items[1::2], strict=True)))

    def do_setitem(self, _: Any) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._set([key, value])

    def do_setitems(self, _: Any) -> None:
        self._set(self.marked())

    def _set(self, items: list[Any]) -> None:
        if not isinstance(self.stack[-1], dict):
            raise ValueError("an item is set in what is no dictionary")
        self.stack[-1].update(zip(items[::2], items[1::2], strict=True))

    def do_global(self, name: str) -> None:
        if name not in _KNOWN:
            raise Refused(name.replace(" ", "."))
        self.stack.append(_Named(name))

    def do_stack_global(self, _: Any) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        self.do_global(f"{module} {name}")

    def do_reduce(self, _: Any) -> None:
        given, name = self.stack.pop(), self.stack.pop()
        if not isinstance(name, _Named) or not isinstance(given, tuple):
            raise ValueError("it calls what is no function")
        if name in _ARRAY:
            self.stack.append(Array())
        elif name == "numpy dtype":
            self.stack.append(_Type(given[0]))
        elif name in _SCALAR:
            self.stack.append(_elements(given[1], given[0], (), "C").item())
        elif name in _BUFFER:
            content, kind, shape, order = given
            self.stack.append(_elements(content, kind, shape, order))
        elif name == "_codecs encode" and given[1:] in ((), ("latin1",), ("latin-1",)):
            self.stack.append(str(given[0]).encode("latin-1"))
        else:
            raise Refused(name.replace(" ", "."))

    def do_build(self, _: Any) -> None:
        state, built = self.stack.pop(), self.stack[-1]
        if not isinstance(built, Array | _Type):
            raise ValueError("it sets the state of what has none")
        built.set_state(state)

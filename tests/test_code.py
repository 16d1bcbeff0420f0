"""A digest of program text changes with the program, not with its comments."""

from __future__ import annotations

import pytest

from spinscope import code
from spinscope.code import code_digest


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package `p` whose text a test can change."""
    monkeypatch.setattr(code, "_ROOT", tmp_path)
    (tmp_path / "p").mkdir()

    def write(text: str) -> str:
        code._text.cache_clear()
        (tmp_path / "p/a.py").write_text(text)
        return code_digest(("p",))

    yield write
    code._text.cache_clear()


def test_only_what_is_executed_counts(package):
    first = package('"""Doc."""\n\ndef f(x):\n    """Doc."""\n    return x + 1  # one more\n')
    assert package('"""Other."""\ndef f(x):\n    return (x + 1)\n') == first
    assert package("def f(x):\n    return x + 2\n") != first


def test_a_function_counts_by_its_own_text():
    def one():
        return 1

    def two():
        return 2

    assert code_digest((), (one,)) == code_digest((), (one,)) != code_digest((), (two,))


def test_the_modules_of_the_package_exist():
    assert code_digest(("images",)) != code_digest(("models",))
    with pytest.raises(FileNotFoundError):
        code_digest(("no_such_module",))

"""Optional libraries: what is said where one is not installed."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import pytest

from dotflow.core.exception import ModuleNotFound
from dotflow.providers._require import require


@pytest.mark.parametrize(
    ("module", "extra", "package"),
    [
        ("PIL.Image", "png", "pillow"),
        ("obstore.store", "aws", "obstore"),
        ("opentelemetry.sdk.trace", "otel", "opentelemetry-sdk"),
        ("sentry_sdk", "sentry", "sentry-sdk"),
    ],
)
def test_package_and_extra_are_named(module: str, extra: str, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As pip calls them, not as they are imported; so too where a namespace is there, and the package in it is not."""
    top, rest = module.partition(".")[0], module.split(".")[1:2]
    gone = ".".join([top, *rest]) if top == "opentelemetry" else top
    monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.setitem(sys.modules, gone, None)  # type: ignore[arg-type]  # as Python marks what cannot be imported

    with pytest.raises(ModuleNotFound) as caught:
        require(module, extra)

    assert (
        str(caught.value)
        == f"the package {package!r} is not installed; install it with: pip install 'dotflow[{extra}]'"
    )
    assert (caught.value.module, caught.value.library) == (package, f"dotflow[{extra}]")


def test_library_that_lacks_something_itself_is_not_said_to_be_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own error passes."""
    (tmp_path / "needing_library.py").write_text("import no_such_library_at_all\n")
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(ModuleNotFoundError, match="no_such_library_at_all") as caught:
        require("needing_library", "x")

    assert not isinstance(caught.value, ModuleNotFound)
    assert isinstance(require("types", "x"), types.ModuleType)

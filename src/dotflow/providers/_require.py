"""Optional libraries."""

from __future__ import annotations

import importlib
from typing import Any

from dotflow.core.exception import ModuleNotFound

PACKAGES = {  # what pip calls what is imported by another name
    "PIL": "pillow",
    "botocore": "boto3",
    "google": "google-cloud-storage",
    "opentelemetry": "opentelemetry-sdk",
    "prometheus_client": "prometheus-client",
    "sentry_sdk": "sentry-sdk",
}


def require(module: str, extra: str) -> Any:
    """Import and return *module*.

    Raises:
        ModuleNotFound: it is not installed; the message names the package, and the extra of dotflow that brings it.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise  # it is there, and something that it needs is not
        top = module.partition(".")[0]
        raise ModuleNotFound(PACKAGES.get(top, top), f"dotflow[{extra}]") from None

"""Which provider of OpenTelemetry is used: the one that is given, else the application's, else one of ours."""

from __future__ import annotations

from typing import Any

from dotflow.providers._require import require


def resource(service_name: str) -> Any:
    """Return the resource of a provider of ours."""
    return require("opentelemetry.sdk.resources", extra="otel").Resource.create({"service.name": service_name})


def is_ours_to_make(provider: Any) -> bool:
    """Whether *provider* only stands in for one that the application has not set up."""
    return "Proxy" in type(provider).__name__ or "NoOp" in type(provider).__name__

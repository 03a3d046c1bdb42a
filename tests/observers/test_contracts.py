"""The built-in observers keep the contracts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from receivers import Receiver, discord, slack, teams, telegram

from dotflow.providers import (
    LogDefault,
    LogStructlog,
    MetricsDefault,
    MetricsOpenTelemetry,
    MetricsPrometheus,
    MetricsStatsd,
    NotifyDefault,
    NotifyDiscord,
    NotifySlack,
    NotifyTeams,
    NotifyTelegram,
    NotifyWebhook,
    ServerDefault,
    TracerDefault,
    TracerOpenTelemetry,
)
from dotflow.testing import LogContract, MetricsContract, NotifyContract, ServerContract, TracerContract

NOTIFIERS: dict[str, tuple[Any, Callable[[str], Any]]] = {
    "default": (None, lambda url: NotifyDefault()),
    "slack": (slack, lambda url: NotifySlack(f"{url}/services/abcdefgh", show_result=True)),
    "discord": (discord, lambda url: NotifyDiscord(f"{url}/webhooks/abcdefgh", show_result=True)),
    "telegram": (telegram, lambda url: NotifyTelegram("123456:right-token_0", 1, server=url, show_result=True)),
    "teams": (teams, lambda url: NotifyTeams(f"{url}/workflows/abcdefgh", show_result=True)),
    "webhook": (None, lambda url: NotifyWebhook(url, key="k" * 16)),
}


class TestNotifiers(NotifyContract):
    @pytest.fixture(params=NOTIFIERS)
    def make(self, request: pytest.FixtureRequest, receiver: Receiver) -> Callable[[], Any]:
        rule, make = NOTIFIERS[request.param]
        receiver.rule = rule or receiver.rule
        return lambda: make(receiver.url)


class TestLogs(LogContract):
    @pytest.fixture(params=["simple", "json", "logfmt", "structlog"])
    def make(self, request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Any]:
        if request.param == "structlog":
            return LogStructlog
        return lambda: LogDefault("DEBUG", output="file", path=tmp_path / "x.log", format=request.param)


class TestTracers(TracerContract):
    @pytest.fixture(params=["default", "opentelemetry"])
    def make(self, request: pytest.FixtureRequest) -> Callable[[], Any]:
        from opentelemetry.sdk.trace import TracerProvider

        return TracerDefault if request.param == "default" else lambda: TracerOpenTelemetry(provider=TracerProvider())


class TestMetrics(MetricsContract):
    @pytest.fixture(params=["default", "opentelemetry", "prometheus", "statsd"])
    def make(self, request: pytest.FixtureRequest) -> Callable[[], Any]:
        from opentelemetry.sdk.metrics import MeterProvider
        from prometheus_client import CollectorRegistry

        makers: dict[str, Callable[[], Any]] = {
            "default": MetricsDefault,
            "opentelemetry": lambda: MetricsOpenTelemetry(provider=MeterProvider()),
            "prometheus": lambda: MetricsPrometheus(CollectorRegistry()),
            "statsd": MetricsStatsd,
        }
        return makers[request.param]

    @pytest.fixture(autouse=True)
    def _close(self, _use_make: None) -> Any:
        yield
        if isinstance(self.provider, MetricsStatsd):
            self.provider.close()


class TestServer(ServerContract):
    @pytest.fixture
    def make(self, receiver: Receiver, tmp_path: Path) -> Callable[[], Any]:
        return lambda: ServerDefault(receiver.url, "token", spool=tmp_path / "spool.db")

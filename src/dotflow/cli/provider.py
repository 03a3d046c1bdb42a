"""``dotflow provider``: what there is, whether one keeps its contract, and the beginning of a new one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from dotflow.cli.choice import Known
from dotflow.core.exception import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

# Extra of dotflow, and the library that it brings, for each provider that needs one.
EXTRAS: dict[str, tuple[str, str]] = {
    "ExecutorDask": ("dask", "distributed"),
    "ExecutorRay": ("ray", "ray"),
    "LogOpenTelemetry": ("otel", "opentelemetry"),
    "LogSentry": ("sentry", "sentry_sdk"),
    "LogStructlog": ("structlog", "structlog"),
    "MetricsOpenTelemetry": ("otel", "opentelemetry"),
    "MetricsPrometheus": ("prometheus", "prometheus_client"),
    "NotifyApprise": ("apprise", "apprise"),
    "StorageAzure": ("azure", "obstore"),
    "StorageGCS": ("gcp", "google.cloud.storage"),
    "StoragePostgres": ("postgres", "psycopg"),
    "StorageRedis": ("redis", "redis"),
    "StorageS3": ("aws", "obstore"),
    "TracerOpenTelemetry": ("otel", "opentelemetry"),
    "TracerSentry": ("sentry", "sentry_sdk"),
}
KINDS = ("storage", "notify", "log", "scheduler", "tracer", "metrics", "server")  # those with a kit


class Row(NamedTuple):
    """One provider, as ``list`` shows it."""

    kind: str
    provider: str
    needs: str
    usable: bool
    schemes: list[str]


def rows() -> Iterable[Row]:
    """Yield what comes with dotflow, and what other packages add by entry point, by kind."""
    from importlib.metadata import entry_points

    from dotflow.core.config import CONTRACTS
    from dotflow.providers import PROVIDERS
    from dotflow.providers.by_url import GROUP, SCHEMES

    for kind, contract in CONTRACTS.items():
        for name in sorted(name for name in PROVIDERS if name.startswith(contract)):
            extra, library = EXTRAS.get(name, ("", ""))
            schemes = [scheme for scheme, row in SCHEMES.items() if row.provider == name]
            yield Row(kind, name, extra and f"dotflow[{extra}]", not library or _is_there(library), schemes)
        if kind == "storage":
            for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
                package = point.dist.name if point.dist is not None else "?"
                yield Row(kind, point.value, package, _is_there(point.module), [point.name])


def _is_there(module: str) -> bool:
    import importlib.util

    try:
        return importlib.util.find_spec(module) is not None
    except ImportError:  # a package above it is not there, or cannot be imported
        return False


def _show_list(kind: str | None, as_json: bool) -> int:
    found = [row for row in rows() if kind in (None, row.kind)]
    if as_json:
        click.echo(json.dumps([row._asdict() for row in found], indent=2))
        return 0
    lines = [("kind", "provider", "needs", "usable", "URL")]
    lines += [(r.kind, r.provider, r.needs, "yes" if r.usable else "no", ", ".join(r.schemes)) for r in found]
    write_table(lines)
    return 0


def write_table(lines: Sequence[tuple[str, ...]]) -> None:
    """Write lines in columns; the last one is as long as it likes."""
    import sys

    from dotflow.views.progress import escape, write

    shown = [tuple(escape(cell).replace("\n", " ") for cell in line) for line in lines]
    widths = [max(len(line[column]) for line in shown) for column in range(len(shown[0]) - 1)]
    for line in shown:
        write(sys.stdout, "  ".join([*map(str.ljust, line, widths), line[-1]]).rstrip())


def options_of(given: Iterable[str]) -> dict[str, Any]:
    """Return ``name=value`` pairs as arguments; a value that is JSON is taken for what it says."""
    found: dict[str, Any] = {}
    for pair in given:
        name, equals, text = pair.partition("=")
        if not equals or not name.isidentifier():
            raise ConfigurationError(f"--arg {pair!r}: write it like --arg port=6379")
        try:
            found[name] = json.loads(text)
        except ValueError:
            found[name] = text
    return found


def make_group(guarded: Callable[..., int], group: type[click.Group]) -> click.Group:
    """Return the group; *guarded* runs a command and shows errors of the user's own code."""
    as_json = click.option("--json", "as_json", is_flag=True, help="Write JSON.")

    @click.group(cls=group, short_help="Look at providers, check one, begin one.")
    def provider() -> None:
        """Look at providers, check one against its contract, begin a new one."""

    @provider.command("list", short_help="Show every provider that is there.")
    @click.option("--kind", type=Known("kind", (*KINDS, "executor")), help="Only of this kind.")
    @as_json
    def list_(kind: str | None, as_json: bool) -> int:
        """Show every provider by kind: what it needs, whether that is installed, and its URLs."""
        return _show_list(kind, as_json)

    @provider.command(short_help="Hold a provider to its contract.")
    @click.argument("target", metavar="MODULE:CLASS")
    @click.option("--url", help="Make a storage of this URL instead of calling the class.")
    @click.option("--arg", "given", multiple=True, metavar="NAME=VALUE", help="An argument of the class; repeatable.")
    @click.option("--clause", "clauses", multiple=True, metavar="NAME", help="Only this clause; repeatable.")
    @click.option("--alone", is_flag=True, help="Leave out what takes several processes on the same data.")
    @as_json
    def check(target: str, url: str | None, given: tuple[str, ...], **how: Any) -> int:
        """Run the contract kit of its kind on a provider, and print a table: clause, pass or FAIL, why.

        A function that returns a provider will do as well. What it talks to has to be there, and is written to.
        Relative paths lead into a temporary folder. Exit codes: 0 every clause holds, 1 one does not, 2 wrong usage.
        """
        from dotflow.cli.kits import check_provider

        arguments = options_of(given)
        return guarded(lambda _wish: check_provider(target, url, arguments, **how), {})

    @provider.command(short_help="Write the beginning of a provider and its test.")
    @click.argument("kind", type=Known("kind", KINDS))
    @click.argument("name")
    @click.option("--folder", default=".", metavar="PATH", help="Where; the working folder by default.")
    @click.option("--force", is_flag=True, help="Replace files that are there.")
    def new(kind: str, name: str, folder: str, force: bool) -> int:
        """Write a provider that works and a test that holds it to its contract, to go on from."""
        from dotflow.cli.skeletons import write_skeleton

        return write_skeleton(kind, name, folder, force=force)

    return provider

"""Entry point of the command ``dotflow``."""

from __future__ import annotations


def main() -> None:
    """Run the command line."""
    from dotflow.cli.command import run

    run()

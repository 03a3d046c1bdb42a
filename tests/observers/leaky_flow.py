"""Steps that put a secret wherever one can be put; a program too, for what the command line shows."""

from __future__ import annotations

import os
import sys
from typing import Any

from dotflow import Config, DotFlow, action

SECRET = 'hunter-"2"/ü$ecret'
IN_ENVIRONMENT = "env-p4ssphrase"
IN_URL = "ur1pa55word"


class Grumpy(Exception):
    """Tells its secret when it is printed, whatever it was made of."""

    def __init__(self, secret: str) -> None:
        super().__init__()
        self.secret = secret

    def __str__(self) -> str:
        return f"Grumpy about {self.secret}"


@action
def leaks(initial_context: Any) -> Any:
    """Fail, with the secret in the message, in the cause, in notes, in a group, and in the source line."""
    secret = initial_context.storage["password"]
    print("logging in with", secret)
    print(f"postgres://me:{IN_URL}@db/x", secret.encode(), [secret], file=sys.stderr)
    print(os.environ.get("MY_API_TOKEN"))
    try:
        try:
            raise Grumpy(secret)
        except Grumpy as error:
            raise ExceptionGroup(f"several with {secret}", [KeyError(secret), error]) from error
    except ExceptionGroup as group:
        failed = RuntimeError(f"cannot log in with {secret} at postgres://me:{IN_URL}@db/x")
        failed.add_note(f"the token was {os.environ.get('MY_API_TOKEN')}, the bytes {secret.encode()!r}")
        raise failed from group


@action
def returns(initial_context: Any) -> Any:
    """Return the secret in every form."""
    secret = initial_context.storage["password"]
    return {
        "url": f"https://u:{IN_URL}@host/", "bytes": secret.encode(), "list": [secret, (secret,), {secret}],
        secret: secret.encode(), "env": os.environ.get("MY_API_TOKEN"),
        **initial_context.storage,
    }  # fmt: skip


def fill(workflow: DotFlow) -> DotFlow:
    """Add the steps; the secret is in the name of one."""
    workflow.task.add(leaks, task_id=f"leaks {SECRET}", initial_context={"password": SECRET}, group_name=SECRET)
    workflow.task.add(returns, initial_context={"password": SECRET}, group_name=SECRET)
    return workflow


def make() -> DotFlow:
    """Return the workflow, for ``dotflow start --workflow leaky_flow:make``."""
    config = Config(secrets=[SECRET], capture_output=True)
    return fill(DotFlow(config, workflow_id=f"flow {SECRET}", name=f"name {SECRET}"))

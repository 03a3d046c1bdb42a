"""Contexts in S3, or in what speaks its protocol."""

from __future__ import annotations

import importlib.util
import os
from datetime import UTC, datetime, timedelta
from typing import Any

from dotflow.core.exception import ConfigurationError
from dotflow.providers._objects import ObjectStorage
from dotflow.providers._obstore import ObstoreBucket, open_store, ready_made
from dotflow.providers._require import require

FRESH = timedelta(minutes=15)  # after which boto3 is asked for credentials again
OWN_WAYS = ("AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")


class StorageS3(ObjectStorage):
    """Keep contexts in a bucket of S3, as JSON documents with a checksum. Needs the extra ``aws``.

    The constructor makes no request. A bucket that is not there is a ``StorageError`` at the first use, and at
    ``healthcheck()``; it is never taken for one without objects.

    Credentials are looked for where ``boto3`` does: the environment, the profiles in ``~/.aws``, the machine's role.
    The server must know conditional writes, as S3 does; directory buckets (S3 Express) list in no order and do not
    work.

    Args:
        bucket: Name of the bucket.
        prefix: Put before the name of every object.
        region: Region of the bucket; ``None`` for the one that the environment or the profile names, else us-east-1.
        endpoint: URL of the server, if it is not Amazon's.
        access_key_id: Key id, if it is not to be looked for.
        secret_access_key: The secret that goes with it.
        session_token: The token, for credentials that have one.
        store: A ready-made ``obstore.store.S3Store``, in place of all but *prefix* and *lease*. It should not try
            again by itself (``retry_config={"max_retries": 0}``): a second try of ``create`` would find its own object.
        lease: Seconds for which a killed leader holds its workflow at most; see ``lock``.
        **options: Handed to ``S3Store``: ``virtual_hosted_style_request``, ``client_options`` and so on.

    Raises:
        ModuleNotFound: the package ``obstore`` is not installed.
        ConfigurationError: an option that ``S3Store`` does not know, or one that a ready-made store leaves unused.
    """

    def __init__(
        self,
        *,
        bucket: str | None = None,
        prefix: str = "dotflow/",
        region: str | None = None,
        endpoint: str | None = None,
        access_key_id: str | None = None,
        secret_access_key: str | None = None,
        session_token: str | None = None,
        store: Any = None,
        lease: float = 30.0,
        **options: Any,
    ) -> None:
        given = {
            "region": region,
            "access_key_id": access_key_id,
            "secret_access_key": secret_access_key,
            "session_token": session_token,
            **options,
        }
        if store is None:
            if importlib.util.find_spec("boto3") is not None:
                given["region"] = region or _region_of_profile()
                told = any(given.get(name) for name in ("access_key_id", "credential_provider", "skip_signature"))
                if not told and not any(os.environ.get(name) for name in OWN_WAYS):
                    given["credential_provider"] = Boto3Credentials()
            store = open_store("S3Store", "StorageS3", "aws", bucket or "", endpoint, **given)
        else:
            ready_made(store, "S3Store", "StorageS3", "aws", {"bucket": bucket, "endpoint": endpoint, **given})
        super().__init__(ObstoreBucket(store), f"s3://{store.config.get('bucket', bucket)}", prefix, lease)


class Boto3Credentials:
    """Asks ``boto3`` for credentials, at the first request.

    Attributes:
        problem: Why there are none.
    """

    def __init__(self) -> None:
        self.problem = ""
        self._found: Any = None

    def __call__(self) -> dict[str, Any]:
        """Return credentials as obstore takes them."""
        boto3, errors = require("boto3", "aws"), require("botocore.exceptions", "aws")
        try:
            if self._found is None:
                self._found = boto3.Session().get_credentials()
            frozen = self._found.get_frozen_credentials() if self._found else None
        except errors.BotoCoreError as error:
            self.problem = f"the credentials cannot be used: {error}"
            raise
        if frozen is None:
            self.problem = "no credentials were found, neither in the environment nor in ~/.aws nor by a role"
            raise LookupError(self.problem)
        self.problem = ""
        return {
            "access_key_id": frozen.access_key,
            "secret_access_key": frozen.secret_key,
            "token": frozen.token,
            "expires_at": datetime.now(UTC) + FRESH,
        }

    def __reduce__(self) -> tuple[Any, ...]:
        return Boto3Credentials, ()


def _region_of_profile() -> str | None:
    if os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION"):
        return None  # obstore reads these itself
    errors = require("botocore.exceptions", "aws")
    try:
        found: str | None = require("botocore.session", "aws").Session().get_config_variable("region")
    except errors.BotoCoreError as error:
        raise ConfigurationError(f"StorageS3: the configuration of AWS cannot be used: {error}") from error
    return found

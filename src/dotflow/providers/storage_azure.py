"""Contexts in Azure Blob Storage."""

from __future__ import annotations

from typing import Any

from dotflow.providers._objects import ObjectStorage
from dotflow.providers._obstore import ObstoreBucket, open_store, ready_made


class StorageAzure(ObjectStorage):
    """Keep contexts in a container of Azure Blob Storage, as JSON documents with a checksum. Needs the extra ``azure``.

    The constructor makes no request. A container that is not there is a ``StorageError`` at the first use, and at
    ``healthcheck()``; it is never taken for one without blobs.

    Credentials that are not given are looked for in the environment (``AZURE_STORAGE_ACCOUNT_KEY``,
    ``AZURE_CLIENT_ID`` and so on), and then by the machine's managed identity.

    Args:
        bucket: Name of the container.
        prefix: Put before the name of every blob.
        account: Name of the storage account; ``None`` for ``AZURE_STORAGE_ACCOUNT_NAME``.
        endpoint: URL of the account, if it is not on Azure's public cloud.
        account_key: The account's key.
        sas_key: A shared access signature, in place of the key.
        store: A ready-made ``obstore.store.AzureStore``, in place of all but *prefix* and *lease*. It should not try
            again by itself (``retry_config={"max_retries": 0}``): a second try of ``create`` would find its own blob.
        lease: Seconds for which a killed leader holds its workflow at most; see ``lock``.
        **options: Handed to ``AzureStore``: ``client_id``, ``use_azure_cli``, ``client_options`` and so on.

    Raises:
        ModuleNotFound: the package ``obstore`` is not installed.
        ConfigurationError: an option that ``AzureStore`` does not know, or one that a ready-made store leaves unused.
    """

    def __init__(
        self,
        *,
        bucket: str | None = None,
        prefix: str = "dotflow/",
        account: str | None = None,
        endpoint: str | None = None,
        account_key: str | None = None,
        sas_key: str | None = None,
        store: Any = None,
        lease: float = 30.0,
        **options: Any,
    ) -> None:
        given = {"account_name": account, "account_key": account_key, "sas_key": sas_key, **options}
        if store is None:
            store = open_store("AzureStore", "StorageAzure", "azure", bucket or "", endpoint, **given)
        else:
            ready_made(store, "AzureStore", "StorageAzure", "azure", {"bucket": bucket, "endpoint": endpoint, **given})
        super().__init__(ObstoreBucket(store), f"az://{store.config.get('container_name', bucket)}", prefix, lease)

"""An S3-compatible store on this machine, spoken to over real HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
from moto.server import ThreadedMotoServer

from tests.servers import free_port

NAME = "countersign-files"


class Bucket:
    """An empty one; ``client`` sees what lies in it."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.client = boto3.client(
            "s3",
            endpoint_url=address,
            aws_access_key_id="key",
            aws_secret_access_key="secret",
            region_name="us-east-1",
        )
        self.client.create_bucket(Bucket=NAME)
        self.empty()  # the store keeps what an earlier one of this process had

    @property
    def url(self) -> str:
        """As STORAGE_URL has it."""
        return f"s3://key:secret@{self.address.removeprefix('http://')}/{NAME}/files?tls=false"

    def keys(self) -> list[str]:
        return [item["Key"] for item in self.client.list_objects_v2(Bucket=NAME).get("Contents", [])]

    def contents(self) -> list[bytes]:
        return sorted(self.client.get_object(Bucket=NAME, Key=key)["Body"].read() for key in self.keys())

    def uploads(self) -> list[dict[str, Any]]:
        """The uploads in parts that are under way."""
        found: list[dict[str, Any]] = self.client.list_multipart_uploads(Bucket=NAME).get("Uploads", [])
        return found

    def empty(self) -> None:
        for key in self.keys():
            self.client.delete_object(Bucket=NAME, Key=key)
        for upload in self.uploads():
            self.client.abort_multipart_upload(Bucket=NAME, Key=upload["Key"], UploadId=upload["UploadId"])

    def storage(self, **options: Any) -> dict[str, Any]:
        """As STORAGES has it."""
        known = {"bucket_name": NAME, "location": "files", "endpoint_url": self.address, "region_name": "us-east-1"}
        keys = {"access_key": "key", "secret_key": "secret", "addressing_style": "path", "file_overwrite": True}
        return {"BACKEND": "core.blobs.s3.S3Blobs", "OPTIONS": {**known, **keys, **options}}


@contextmanager
def running_bucket() -> Iterator[Bucket]:
    store = ThreadedMotoServer(port=free_port(), verbose=False)
    store.start()
    host, port = store.get_host_and_port()
    try:
        yield Bucket(f"http://{host}:{port}")
    finally:
        store.stop()

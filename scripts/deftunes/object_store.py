"""The bucket of a lake: access for DuckDB, and what DuckDB cannot do there.

boto3 finds the credentials and the endpoint as every AWS tool does: in the variables
`AWS_...`, in `~/.aws`, or from the role of the machine.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

from duckdb import DuckDBPyConnection

from deftunes.sql import literal

SCHEME = "s3://"

# No characters with a special meaning in SQL, URLs or glob patterns.
_NAME = r"[A-Za-z0-9_][A-Za-z0-9_.-]*"
_URL = re.compile(
    rf"s3://(?P<bucket>[a-z0-9][a-z0-9.-]+)/(?P<prefix>{_NAME}(?:/{_NAME})*)/?"
)
_LAKE_FILE = re.compile(r"(?:.*/)?ducklake-[^/]*\.parquet")
_CREDENTIALS = (
    "Check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN and AWS_REGION; "
    "the key must be allowed to list, read, write and delete objects."
)
_DELETED_AT_ONCE = 1000  # the limit of the API
_REGION = "us-east-1"  # most servers other than AWS's accept any


class ObjectStoreError(Exception):
    """The bucket cannot be used; the message says what to do, and has no secret."""


@dataclass(frozen=True)
class ObjectStore:
    """A folder in a bucket. Nothing is asked before a method is called.

    Attributes:
        bucket: the bucket.
        prefix: the folder, without a slash at either end.
        region: the bucket's region; None to find it as AWS's own tools do.

    """

    bucket: str
    prefix: str
    region: str | None = None

    @classmethod
    def at(cls, url: str, region: str | None = None) -> "ObjectStore":
        """Return the store of a URL.

        Raises:
            ObjectStoreError: the URL is not one of a folder in a bucket. The message
                does not contain it, since DuckDB accepts secrets in URLs.

        """
        parts = _URL.fullmatch(url)
        if parts is None:
            raise ObjectStoreError(
                "DEFTUNES_LAKE_DATA is no folder in a bucket. Write it as "
                "s3://bucket/folder, with letters, digits, and . _ - only."
            )
        return cls(parts["bucket"], parts["prefix"], region)

    def open(self, connection: DuckDBPyConnection) -> None:
        """Check that the bucket can be listed, and let DuckDB use it.

        Args:
            connection: a connection with the extension httpfs. It gets a secret for
                this bucket, which DuckDB neither shows nor stores.

        Raises:
            ObjectStoreError: there are no credentials or they are refused, there is no
                such bucket, or the store does not answer.

        """
        with self._errors():
            credentials = self._session.get_credentials()
            if credentials is None:
                raise ObjectStoreError(
                    "There are no credentials for the object store. Set "
                    "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY. .env.example "
                    "describes them."
                )
            self._client.list_objects_v2(
                Bucket=self.bucket, Prefix=f"{self.prefix}/", MaxKeys=1
            )
            keys = credentials.get_frozen_credentials()
        endpoint = urlsplit(self._client.meta.endpoint_url)
        options = {
            "key_id": keys.access_key,
            "secret": keys.secret_key,
            "session_token": keys.token or "",
            "region": self._client.meta.region_name,
            "endpoint": endpoint.netloc,
            "url_style": "path",
            "use_ssl": str(endpoint.scheme == "https").lower(),
            "scope": f"{SCHEME}{self.bucket}/",
        }
        connection.execute(
            "create or replace temporary secret lake_objects (type s3, "
            + ", ".join(f"{name} {literal(text)}" for name, text in options.items())
            + ")"
        )

    def abort_uploads(self) -> int:
        """Remove the parts of uploads that killed runs have left, and count them.

        No reader sees them. Only for the process that holds the lock of the lakehouse,
        while it writes nothing.

        Raises:
            ObjectStoreError: the store refuses it.

        """
        uploads = [
            (upload["Key"], upload["UploadId"])
            for upload in self._list("list_multipart_uploads", "Uploads")
        ]
        with self._errors():
            for key, upload in uploads:
                self._client.abort_multipart_upload(
                    Bucket=self.bucket, Key=key, UploadId=upload
                )
        return len(uploads)

    def old_versions(self) -> int:
        """Return how many old versions of the lake's files a versioned bucket keeps.

        Raises:
            ObjectStoreError: the store refuses to tell.

        """
        return sum(1 for _ in self._old_versions())

    def delete_old_versions(self) -> int:
        """Delete the old versions of the lake's files, and count them.

        Raises:
            ObjectStoreError: the store refuses to delete one, such as a locked one.

        """
        versions = [*self._old_versions()]
        for start in range(0, len(versions), _DELETED_AT_ONCE):
            some = versions[start : start + _DELETED_AT_ONCE]
            with self._errors():
                answer = self._client.delete_objects(
                    Bucket=self.bucket, Delete={"Objects": some, "Quiet": True}
                )
            for error in answer.get("Errors", []):
                raise ObjectStoreError(
                    f"An old version of {SCHEME}{self.bucket}/{error['Key']} cannot be "
                    f"deleted ({error.get('Code')}). Allow s3:DeleteObjectVersion, and "
                    "remove locks from the objects. Then run the same command again."
                )
        return len(versions)

    def _old_versions(self) -> Iterator[dict[str, str]]:
        with self._errors():
            try:
                status = self._client.get_bucket_versioning(Bucket=self.bucket)
            except self._client.exceptions.ClientError as error:
                if error.response["Error"]["Code"] != "NotImplemented":
                    raise
                return  # a store without versions
        if "Status" not in status:  # it never had versions
            return
        for version in self._list("list_object_versions", "Versions"):
            if not version["IsLatest"] and _LAKE_FILE.fullmatch(version["Key"]):
                yield {"Key": version["Key"], "VersionId": version["VersionId"]}

    def _list(self, operation: str, name: str) -> list[dict[str, Any]]:
        """Return all that an operation lists below the prefix."""
        pages = self._client.get_paginator(operation)
        with self._errors():
            return [
                found
                for page in pages.paginate(Bucket=self.bucket, Prefix=f"{self.prefix}/")
                for found in page.get(name, [])
            ]

    @cached_property
    def _session(self) -> Any:  # noqa: ANN401 - boto3 has no types
        # Imported here: it takes half a second, and other targets do not need it.
        import boto3  # type: ignore[import-untyped]

        return boto3.Session(region_name=self.region)

    @cached_property
    def _client(self) -> Any:  # noqa: ANN401 - boto3 has no types
        from botocore.config import Config  # type: ignore[import-untyped]

        return self._session.client(
            "s3",
            region_name=self._session.region_name or _REGION,
            config=Config(
                retries={"mode": "standard", "total_max_attempts": 5},
                connect_timeout=10,
                # Every S3 server knows this form of URL.
                s3={"addressing_style": "path"},
            ),
        )

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Raise an ObjectStoreError in place of an error of boto3.

        The message has the code of the error only: what else the store says may
        contain the key's id.
        """
        from botocore.exceptions import (  # type: ignore[import-untyped]
            BotoCoreError,
            ClientError,
        )

        try:
            yield
        except ClientError as error:
            code = str(error.response["Error"]["Code"])
            endpoint = self._client.meta.endpoint_url
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            if code == "NoSuchBucket":
                message = (
                    f"There is no bucket {self.bucket} at {endpoint}. Create it, or "
                    "correct DEFTUNES_LAKE_DATA."
                )
            elif status in (400, 401, 403):
                message = (
                    f"{endpoint} refuses access to {SCHEME}{self.bucket} ({code}). "
                    + _CREDENTIALS
                )
            else:
                message = (
                    f"{endpoint} answered {status} ({code}). Run the same command again"
                    " when the object store works."
                )
            raise ObjectStoreError(message) from None
        except (BotoCoreError, ValueError) as error:  # an endpoint without http://
            raise ObjectStoreError(
                f"The object store cannot be used ({type(error).__name__}): "
                f"{' '.join(str(error).split())} Check the network and the variables "
                "of .env.example, such as AWS_ENDPOINT_URL."
            ) from None

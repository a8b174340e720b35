"""A folder in a bucket: objects, and access for DuckDB.

boto3 finds the credentials and the endpoint as every AWS tool does: in the variables
`AWS_...`, in `~/.aws`, or from the role of the machine.
"""

import hashlib
import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from duckdb import DuckDBPyConnection

from deftunes.sql import literal

SCHEME = "s3://"

# No characters with a special meaning in SQL, URLs or glob patterns.
_NAME = r"[A-Za-z0-9_][A-Za-z0-9_.-]*"
_URL = re.compile(
    rf"s3://(?P<bucket>[a-z0-9][a-z0-9.-]+)/(?P<prefix>{_NAME}(?:/{_NAME})*)"
)
_CREDENTIALS = (
    "Check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN and AWS_REGION; "
    "the key must be allowed to list, read, write and delete objects."
)
_DELETED_AT_ONCE = 1000  # the limit of the API
_REGION = "us-east-1"  # most servers other than AWS's accept any
_CHUNK = 1 << 20  # bytes


class ObjectStoreError(OSError):
    """The bucket cannot be used; the message says what to do, and has no secret."""


class ObjectExistsError(ObjectStoreError):
    """There already is an object of this name."""


@dataclass(frozen=True)
class Stamp:
    """What a listing says of an object.

    Attributes:
        size: its size in bytes.
        tag: its ETag, which differs if the content differs.

    """

    size: int
    tag: str


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
                "DEFTUNES_STORE is no folder in a bucket. Write it as "
                "s3://bucket/folder, with letters, digits, and . _ - only."
            )
        return cls(parts["bucket"], parts["prefix"], region)

    def __str__(self) -> str:
        """Return the URL of the folder."""
        return f"{SCHEME}{self.bucket}/{self.prefix}"

    def url(self, name: str) -> str:
        """Return the URL of an object; its name is relative to the folder."""
        return f"{self}/{name}"

    def objects(self, folder: str) -> dict[str, Stamp]:
        """Return the objects in a folder and all folders below, by name.

        Costs one request per thousand objects.

        Raises:
            ObjectStoreError: the store refuses to tell.

        """
        start = len(self.prefix) + 1
        return {
            found["Key"][start:]: Stamp(found["Size"], found["ETag"].strip('"'))
            for found in self._list("list_objects_v2", "Contents", folder)
        }

    def metadata(self, name: str) -> dict[str, str] | None:
        """Return what `put` has noted on an object; None if there is no such object.

        Raises:
            ObjectStoreError: the store refuses to tell.

        """
        with self._errors():
            try:
                head = self._client.head_object(Bucket=self.bucket, Key=self._key(name))
            except self._client.exceptions.ClientError as error:
                if _status(error) == 404:
                    return None
                raise
        return dict(head["Metadata"])

    def read(self, name: str) -> bytes | None:
        """Return the content of a small object; None if there is no such object.

        Raises:
            ObjectStoreError: the store refuses to give it.

        """
        with self._errors():
            try:
                found = self._client.get_object(Bucket=self.bucket, Key=self._key(name))
            except self._client.exceptions.NoSuchKey:
                return None
            return bytes(found["Body"].read())

    def write(self, name: str, content: bytes) -> None:
        """Write a small object, or replace it, in one step.

        Raises:
            ObjectStoreError: the store refuses it.

        """
        with self._errors():
            self._client.put_object(
                Bucket=self.bucket, Key=self._key(name), Body=content
            )

    def put(
        self, name: str, file: Path, metadata: Mapping[str, str], *, replace: bool
    ) -> Stamp:
        """Store a file as an object, in one step: nobody sees a part of it.

        Args:
            name: the object's name.
            file: the file, of up to 5 GB.
            metadata: what to note on the object, in ASCII.
            replace: whether an object of this name may be replaced.

        Raises:
            ObjectExistsError: there is an object of this name with other metadata.
            ObjectStoreError: the store refuses it.

        """
        condition = {} if replace else {"IfNoneMatch": "*"}
        with self._errors(), file.open("rb") as body:
            try:
                stored = self._client.put_object(
                    Bucket=self.bucket,
                    Key=self._key(name),
                    Body=body,
                    Metadata=metadata,
                    **condition,
                )
            except self._client.exceptions.ClientError as error:
                if _status(error) not in (409, 412):
                    raise
                # The answer to an earlier attempt may have been lost.
                if self.metadata(name) != metadata:
                    raise ObjectExistsError(
                        f"{self.url(name)} exists: another run has written it."
                    ) from None
                stored = self._client.head_object(
                    Bucket=self.bucket, Key=self._key(name)
                )
        return Stamp(file.stat().st_size, stored["ETag"].strip('"'))

    def upload(self, name: str, file: Path) -> None:
        """Store a file of any size as an object; nobody sees it before it is whole.

        Raises:
            ObjectStoreError: the store refuses it.

        """
        with self._errors():
            self._client.upload_file(str(file), self.bucket, self._key(name))

    def download(self, name: str, file: Path) -> None:
        """Write an object to a file.

        Raises:
            ObjectStoreError: there is no such object, or the store refuses to give it.

        """
        with self._errors():
            self._client.download_file(self.bucket, self._key(name), str(file))

    def checksum(self, name: str) -> str:
        """Return the SHA-256 of an object's content; all of it is read.

        Raises:
            ObjectStoreError: there is no such object, or the store refuses to give it.

        """
        digest = hashlib.sha256()
        with self._errors():
            found = self._client.get_object(Bucket=self.bucket, Key=self._key(name))
            for chunk in found["Body"].iter_chunks(_CHUNK):
                digest.update(chunk)
        return digest.hexdigest()

    def delete(self, names: Iterable[str]) -> None:
        """Delete objects; it is no error if one does not exist.

        Raises:
            ObjectStoreError: the store refuses it.

        """
        self._delete([{"Key": self._key(name)} for name in names])

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
        """Return how many old versions of the objects a versioned bucket keeps.

        Raises:
            ObjectStoreError: the store refuses to tell.

        """
        return sum(1 for _ in self._old_versions())

    def delete_old_versions(self) -> int:
        """Delete the old versions of the objects, and count them.

        Raises:
            ObjectStoreError: the store refuses to delete one, such as a locked one.

        """
        versions = [*self._old_versions()]
        self._delete(versions)
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
            if not version["IsLatest"]:
                yield {"Key": version["Key"], "VersionId": version["VersionId"]}

    def _key(self, name: str) -> str:
        return f"{self.prefix}/{name}"

    def _list(
        self, operation: str, name: str, folder: str = ""
    ) -> list[dict[str, Any]]:
        """Return all that an operation lists in a folder."""
        pages = self._client.get_paginator(operation)
        prefix = f"{self._key(folder)}/" if folder else f"{self.prefix}/"
        with self._errors():
            return [
                found
                for page in pages.paginate(Bucket=self.bucket, Prefix=prefix)
                for found in page.get(name, [])
            ]

    def _delete(self, objects: list[dict[str, str]]) -> None:
        """Delete objects, or versions of objects."""
        for start in range(0, len(objects), _DELETED_AT_ONCE):
            some = objects[start : start + _DELETED_AT_ONCE]
            with self._errors():
                answer = self._client.delete_objects(
                    Bucket=self.bucket, Delete={"Objects": some, "Quiet": True}
                )
            for error in answer.get("Errors", []):
                raise ObjectStoreError(
                    f"{SCHEME}{self.bucket}/{error['Key']} cannot be deleted "
                    f"({error.get('Code')}). Allow s3:DeleteObject and "
                    "s3:DeleteObjectVersion, and remove locks from the objects. Then "
                    "run the same command again."
                )

    @cached_property
    def _session(self) -> Any:  # noqa: ANN401 - boto3 has no types
        # Imported here: it takes half a second, and other targets do not need it.
        import boto3  # type: ignore[import-untyped]

        # It logs where it has found the credentials.
        logging.getLogger("botocore").setLevel(logging.WARNING)

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
        from boto3.exceptions import (  # type: ignore[import-untyped]
            S3UploadFailedError,
        )
        from botocore.exceptions import (  # type: ignore[import-untyped]
            BotoCoreError,
            ClientError,
        )

        try:
            yield
        except ClientError as error:
            code = str(error.response["Error"]["Code"])
            endpoint = self._client.meta.endpoint_url
            status = _status(error)
            if code == "NoSuchBucket":
                message = (
                    f"There is no bucket {self.bucket} at {endpoint}. Create it, or "
                    "correct DEFTUNES_STORE."
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
        except S3UploadFailedError as error:
            # It has the other error's message in its own, and nothing else.
            said = re.search(r"\((\w+)\) when calling", str(error))
            raise ObjectStoreError(
                f"{self._client.meta.endpoint_url} did not take an upload to {self} "
                f"({said[1] if said else 'no answer'}). Run the same command again "
                "when the object store works."
            ) from None
        except (BotoCoreError, ValueError) as error:  # an endpoint without http://
            raise ObjectStoreError(
                f"The object store cannot be used ({type(error).__name__}): "
                f"{' '.join(str(error).split())} Check the network and the variables "
                "of .env.example, such as AWS_ENDPOINT_URL."
            ) from None


def _status(error: Any) -> int:  # noqa: ANN401 - boto3 has no types
    """Return the HTTP status of an error of boto3."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))

"""The servers of the tests themselves."""

from __future__ import annotations

import signal

import boto3
import botocore.exceptions
import pytest
from tests.servers import Bucket, Postgres


def test_a_database_outlives_a_crash_of_its_server(postgres: Postgres):
    name = postgres.database().rpartition("/")[2]
    postgres.execute("CREATE TABLE t (a int)", name)
    postgres.execute("INSERT INTO t VALUES (7)", name)
    postgres.stop(signal.SIGQUIT)
    postgres.start()
    assert postgres.execute("SELECT a FROM t", name) == [(7,)]


def test_an_object_of_the_store_is_a_file_and_needs_the_key(s3: Bucket):
    def client(secret: str):
        return boto3.client(
            "s3",
            endpoint_url=s3.endpoint,
            aws_access_key_id=s3.environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=secret,
            region_name="us-east-1",
        )

    own = client(s3.environment["AWS_SECRET_ACCESS_KEY"])
    own.put_object(Bucket=s3.name, Key="folder/object", Body=b"\x01\x02")
    assert (s3.folder / "folder/object").read_bytes() == b"\x01\x02"
    with pytest.raises(botocore.exceptions.ClientError, match=r"SignatureDoesNotMatch|403"):
        client("other").get_object(Bucket=s3.name, Key="folder/object")

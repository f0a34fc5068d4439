"""An object store on this machine."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

SECRET = "planted-secret-key-of-the-tests"
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "planted-key-id-of-the-tests",
    "AWS_SECRET_ACCESS_KEY": SECRET,
    "AWS_SESSION_TOKEN": "planted-token-of-the-tests",
    "AWS_REGION": "us-east-1",
    "AWS_ALLOW_HTTP": "true",
}


@pytest.fixture(scope="session")
def bucket() -> Iterator[str]:
    """The URL of a bucket; the environment has what is needed to reach it."""
    boto3 = pytest.importorskip("boto3")
    server = pytest.importorskip("moto.server").ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (ENVIRONMENT | {"AWS_ENDPOINT_URL": f"http://{host}:{port}"}).items():
            patch.setenv(name, value)
        for name in ("AWS_S3_ENDPOINT", "AWS_HTTPS", "AWS_VIRTUAL_HOSTING"):  # GDAL's
            patch.delenv(name, raising=False)
        boto3.client("s3", region_name="us-east-1").create_bucket(Bucket="trial")
        yield "s3://trial"
    server.stop()

"""No key, password or signature is in a file that is written, in a message or in a log."""

from __future__ import annotations

import logging
import urllib.request
import warnings
from pathlib import Path

import pytest
from click.testing import CliRunner
from faulty_host import hosting
from places import RECIPE, files_of, upload
from serving import served
from stactools.cli.cli import cli

from satimnet.builder.exports import FORMATS
from satimnet.builder.query.search import search
from satimnet.builder.storage.objects import files_below, read

KEYS = ("planted-secret-key-of-the-tests", "planted-token-of-the-tests", "planted-key-id")
SIGNED = "sig=a/b%3D"
IN_URL = ("planted-password", "a/b%3D", "a/b=", "a%2Fb%3D")
SERVERS = ("werkzeug", "moto", "botocore", "boto3")
"""Loggers of the other side."""
COMMANDS = (
    "info {catalog}",
    "search {catalog} --class River",
    "search {catalog} --class River --format json",
    "search {catalog} --class River --format ndjson",
    "search {catalog} --class River --format geoparquet --out {out}/found.parquet",
    "search {catalog} --class River --save {out}/saved",
    "search {catalog} --class River --copy {out}/copied",
    "validate {catalog} --checksums",
    "quality {catalog} --out {out}/quality --scheduler threads",
    *(f"export {{catalog}} --format {form} --out {{out}}/{form}" for form in FORMATS),
    "copy {catalog} {out}/copy",
    "fuse {out}/recipe.toml {catalog} --out {out}/fused --without-masks",
)
HANDING_ON = (
    *("--format json", "--format ndjson", "--format geoparquet", "--save"),
    *(f"export {{catalog}} --format {form} " for form in FORMATS[:5]),
)
"""Of the commands, those that write or print hrefs."""
FAILING = ("info {catalog}", "validate {catalog}", "quality {catalog} --out {out}/none")


class Told:
    """All that commands say, and the logs of this process."""

    def __init__(self, out: Path, caplog) -> None:
        self._out, self._caplog = out, caplog
        self._said: list[str] = []
        caplog.set_level(logging.DEBUG)
        (out / "recipe.toml").write_text(RECIPE)

    def by(self, line: str, catalog: str, *, fails: bool = False) -> str:
        """What a command says on both streams."""
        words = [word.format(catalog=catalog, out=self._out) for word in line.split(" ")]
        done = CliRunner().invoke(cli, ["satimnet", *words])
        assert (done.exit_code != 0) == fails, done.output
        self._said.append(done.output)
        return done.output

    def add(self, text: str) -> None:
        self._said.append(text)

    def require_none_of(self, secrets: tuple[str, ...]) -> None:
        records = [r for r in self._caplog.records if not r.name.startswith(SERVERS)]
        texts = {f"log {number}": r.getMessage() for number, r in enumerate(records)}
        texts |= {f"message {number}": text for number, text in enumerate(self._said)}
        for path in self._out.rglob("*"):
            if path.is_file():
                texts[str(path)] = path.read_bytes().decode("latin-1")
        found = {
            f"{secret} in {where}: {text[max(0, at - 200) : at + 80]!r}"
            for where, text in texts.items()
            for secret in secrets
            if (at := f"{where} {text}".find(secret)) >= 0
        }
        assert found == set()


def test_secrets_would_be_found(tmp_path, caplog):
    told = Told(tmp_path, caplog)
    for plant in (
        lambda: (tmp_path / "a.json").write_text("planted-password"),
        lambda: logging.getLogger("a").info("planted-password"),
        lambda: told.add("planted-password"),
    ):
        plant()
        with pytest.raises(AssertionError, match="planted-password"):
            told.require_none_of(IN_URL)
        (tmp_path / "a.json").unlink(missing_ok=True)
        caplog.clear()


def test_keys_of_stores(bucket, catalog, tmp_path, caplog, monkeypatch):
    told = Told(tmp_path, caplog)
    upload(catalog, f"{bucket}/planted")
    for line in COMMANDS:
        told.by(line, f"{bucket}/planted")
    told.by("info {catalog} --debug", f"{bucket}/missing", fails=True)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    for line in FAILING:
        said = told.by(f"{line} --debug", "s3://unreachable/catalog", fails=True)
        assert "Traceback" in said
        told.by(line, "s3://unreachable/catalog", fails=True)
    told.require_none_of(KEYS)


def test_builds_from_stores_and_the_web(bucket, miniature, tmp_path, caplog):
    told = Told(tmp_path, caplog)
    upload(miniature, f"{bucket}/planted-source")
    build = "build {catalog} --no-overview --scheduler threads --out"
    told.by(f"{build} {{out}}/from-store", f"{bucket}/planted-source")
    told.by(f"{build} {bucket}/planted-built", f"{bucket}/planted-source")
    told.by(f"{build} {{out}}/none --debug", f"{bucket}/no-source", fails=True)
    told.by(f"{build} s3://no-bucket/catalog --debug", f"{bucket}/planted-source", fails=True)
    with hosting({"/EuroSAT.zip": (miniature / "EuroSAT.zip").read_bytes()}, "token") as host:
        url = f"{host.url}/EuroSAT.zip?{SIGNED}".replace("//", "//me:planted-password@", 1)
        told.by(f"{build} {{out}}/from-web", url)
        told.by(f"{build} {bucket}/planted-from-web", url)
        told.by(f"{build} {{out}}/none --debug", url.replace("EuroSAT", "Missing"), fails=True)
    for name in ("planted-built", "planted-from-web"):
        for file in files_below(f"{bucket}/{name}"):
            told.add(f"{file.place} {read(file.place).decode('latin-1')}")
    told.require_none_of((*KEYS, *IN_URL))


def test_passwords_and_signatures_in_urls(catalog, tmp_path, caplog):
    told = Told(tmp_path, caplog)
    with hosting(files_of(catalog), "token") as host:
        url = f"{host.url}/catalog.json?{SIGNED}".replace("//", "//me:planted-password@", 1)
        for line in COMMANDS:
            said = told.by(line, url)
            warned = said.count("its query or password may be a secret and is left out")
            assert warned == any(one in line for one in HANDING_ON)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            (item,) = search(url, ids=["River_2"])
        assert item["assets"]["rgb"]["href"].endswith(SIGNED)  # in Python it can be read
        with served(url) as (root, _):
            for path in ("", "collections", "search?limit=3", "collections/eurosat/items/River_2"):
                with urllib.request.urlopen(f"{root}{path}") as answer:
                    told.add(answer.read().decode())
            with urllib.request.urlopen(f"{root}thumbnails/eurosat/River_2.png") as answer:
                assert answer.read(4) == b"\x89PNG"  # the server reads with the signature
        wrong = url.replace("catalog.json", "missing.json")
        for line in FAILING:
            assert "Traceback" in told.by(f"{line} --debug", wrong, fails=True)
            told.by(line, wrong, fails=True)
    url = url.replace(f":{host.server_port}/", ":9/")  # where nobody is
    for line in FAILING:
        told.by(f"{line} --debug", url, fails=True)
        told.by(line, url, fails=True)
    told.by("browser --out {out}/browser --catalog {catalog}", url, fails=True)
    told.require_none_of(IN_URL)


@pytest.mark.parametrize("fault", ["no size", "no length", "always 503", "always cut", "416"])
def test_bad_hosts_are_told_without_secrets(catalog, tmp_path, caplog, fault):
    told = Told(tmp_path, caplog)
    with hosting(files_of(catalog), "token", fault) as host:
        url = f"{host.url}/catalog.json?{SIGNED}".replace("//", "//me:planted-password@", 1)
        told.by("info {catalog} --debug", url, fails=not fault.startswith("no "))
    told.require_none_of(IN_URL)

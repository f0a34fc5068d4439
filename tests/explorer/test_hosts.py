"""The explorer beside its catalog on the hosts that people have: one journey through each."""

import os
import shutil
import subprocess
import time
from contextlib import contextmanager
from functools import partial

import boto3
import pytest
import requests
from explorer_tab import Page
from places import upload
from selenium.webdriver import ActionChains

from satimnet.builder import search

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
CONFIGURATION = """
daemon off;
pid {home}/nginx.pid;
error_log {home}/error.log;
events {{}}
http {{
    types {{ text/html html; text/css css; text/javascript js; application/json json; }}
    default_type application/octet-stream;
    gzip on;
    gzip_types text/css text/javascript application/json;
    access_log off;
    client_body_temp_path {home};
    proxy_temp_path {home};
    fastcgi_temp_path {home};
    uwsgi_temp_path {home};
    scgi_temp_path {home};
    server {{
        listen 127.0.0.1:{port};
        root {root};
    }}
}}
"""


@contextmanager
def python_host(folder, request):
    with request.getfixturevalue("serve")(folder) as url:
        yield url


@contextmanager
def nginx_host(folder, request, free_port, home):
    if NGINX is None:
        pytest.skip("needs nginx: apt-get install nginx-light")
    for path in (folder, *folder.parents):  # its worker is another user where root starts it
        if path.owner() == "root" and os.geteuid() == 0 and path != path.parent:
            path.chmod(path.stat().st_mode | 0o011)
    text = CONFIGURATION.format(home=home, port=free_port, root=folder)
    if os.geteuid() == 0:
        text = "user root;" + text
    (home / "nginx.conf").write_text(text)
    process = subprocess.Popen([NGINX, "-e", home / "error.log", "-c", home / "nginx.conf"])
    url = f"http://127.0.0.1:{free_port}"
    try:
        for _ in range(100):
            try:
                requests.head(f"{url}/catalog.json", timeout=60)
                break
            except requests.ConnectionError:
                assert process.poll() is None, (home / "error.log").read_text()
                time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.wait(60)


@contextmanager
def s3_host(folder, request):
    place = f"{request.getfixturevalue('bucket')}/explored"
    upload(folder, place)
    client = boto3.client("s3", region_name="us-east-1")
    for page in client.get_paginator("list_objects_v2").paginate(Bucket="trial"):
        for one in page["Contents"]:  # as a bucket that anybody may read has them
            client.put_object_acl(Bucket="trial", Key=one["Key"], ACL="public-read")
    yield f"{os.environ['AWS_ENDPOINT_URL']}/{place.removeprefix('s3://')}"


@pytest.fixture(scope="module", params=["python", "nginx", "s3"])
def host(request, shown, tmp_path_factory, unused_port):
    """The URL of the catalog, with the page beside it."""
    hosts = {
        "python": python_host,
        "nginx": partial(nginx_host, free_port=unused_port, home=tmp_path_factory.mktemp("nginx")),
        "s3": s3_host,
    }
    with hosts[request.param](shown, request) as url:
        yield url


@pytest.fixture(scope="module")
def unused_port():
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@pytest.mark.slow
@pytest.mark.parametrize("width", [1400, 390])
def test_a_journey(driver, host, shown, axe, width):
    """Wall, filter, box on the map, a sample with mask and outlines, and its address."""
    page = Page(driver, f"{host}/explore/index.html")
    page.size(width, 900)
    page.open()
    page.counts(len(search(shown)))
    wall = page.find(".wall")
    seen = partial(wall.get_attribute, "data-seen")
    page.wait(lambda: wall.get_attribute("data-drawn") == seen() != "0", "pictures are missing")
    assert (page.pixels(".wall canvas")[..., 3] == 255).mean() > 0.8

    page.open("#map=1&class=River")
    assert 0 < page.count == len(search(shown, classes=["River"]))
    page.open("#map=1")
    canvas = page.find(".map canvas")
    pointer = ActionChains(driver).move_to_element_with_offset(canvas, -60, -70)
    pointer.click_and_hold().move_by_offset(100, 100).release().perform()
    page.wait(lambda: "box=" in page.address, page.address)
    assert 0 < page.count < len(search(shown))

    page.open("#item=dota/P0000")
    assert page.pixels(".sheet .image").std() > 1
    assert (page.pixels(".sheet .mask")[..., 3] > 0).any()
    assert driver.find_elements("css selector", ".outlines path")
    address = driver.current_url
    assert page.serious(axe) == {}
    page.open("")
    page.open(url=address)
    assert page.sample().is_displayed()
    page.done()

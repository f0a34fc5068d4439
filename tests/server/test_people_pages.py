"""What a person sees who opens an address of the API in a web browser."""

import html.parser
import json
import urllib.error
import urllib.request

import pytest
from serving import served_here

from satimnet.builder.server.people_pages import page

ACCEPT = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


class Parsed(html.parser.HTMLParser):
    """The tags, links, pictures and text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags, self.links, self.pictures, self.text = [], [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name == "href"]
        self.pictures += [value for name, value in attrs if name == "src"]

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope="module")
def url(catalog, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))  # nothing is built
        with served_here(catalog) as url:
            yield url


def ask(url: str, accept: str = ACCEPT):
    request = urllib.request.Request(url, headers={"Accept": accept})
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, answer.headers, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read().decode()


@pytest.mark.parametrize(
    "path",
    [
        *("", "conformance", "api", "collections", "collections/eurosat", "queryables"),
        *("collections/eurosat/items?limit=3", "collections/eurosat/items/River_2"),
        *("search?limit=2", "aggregations", "plain/", "plain/collections/eurosat"),
    ],
)
def test_people_get_a_page_and_programs_json(url, path):
    status, headers, text = ask(url + path)
    assert status == 200
    assert headers["Content-Type"].startswith("text/html")
    assert "Accept" in headers["Vary"]
    assert "script" not in headers["Content-Security-Policy"]
    seen = Parsed(text)
    assert "script" not in seen.tags
    assert {f"{url}explore/", f"{url}collections"} <= set(seen.links)
    _, headers, said = ask(url + path, "application/json")
    assert "json" in headers["Content-Type"]
    for link in json.loads(said).get("links", ()):
        assert link["href"] in seen.links or link.get("method") == "POST"
    _, headers, _ = ask(url + path, "*/*")
    assert "json" in headers["Content-Type"]


def test_the_landing_page_leads_on_where_nothing_was_built(url):
    _, _, text = ask(url)
    seen = Parsed(text)
    assert "SatImNet: harmonised training data" in seen.text
    assert "satimnet browser" in seen.text
    for link in sorted({link for link in seen.links if link.startswith(url)})[:20]:
        assert ask(link)[0] == 200, link


def test_items_have_pictures(url):
    seen = Parsed(ask(f"{url}collections/eurosat/items?limit=3")[2])
    assert len(seen.pictures) == 3
    status, headers, _ = ask_bytes(seen.pictures[0])
    assert (status, headers["Content-Type"]) == (200, "image/png")


def test_collections_have_their_contact_sheet(url):
    seen = Parsed(ask(f"{url}collections")[2])
    (sheet,) = seen.pictures
    assert ask_bytes(sheet)[1]["Content-Type"] == "image/png"
    assert Parsed(ask(f"{url}collections/eurosat")[2]).pictures == [sheet]


def ask_bytes(url: str):
    with urllib.request.urlopen(url) as answer:
        return answer.status, answer.headers, answer.read()


def test_errors_are_pages_too(url):
    status, headers, text = ask(f"{url}collections/nowhere")
    assert status == 404
    assert headers["Content-Type"].startswith("text/html")
    assert "nowhere" in Parsed(text).text
    assert ask(f"{url}nothing")[0] == 404


def test_foreign_text_is_text():
    evil = '"><script>alert(1)</script><img src=x onerror=y>&quot;'
    document = {
        "title": evil,
        "description": evil,
        "links": [
            {"rel": evil, "href": "javascript:alert(1)", "title": evil},
            {"rel": "self", "href": f"https://host/{evil}"},
            {"rel": "preview", "href": f"https://host/{evil}"},
        ],
        "features": [{"id": evil, "links": [{"rel": "self", "href": f"http://h/{evil}"}]}],
    }
    seen = Parsed(page(document))
    assert "script" not in seen.tags
    assert seen.tags.count("img") == 1
    assert not [link for link in seen.links if not link.startswith(("http://", "https://"))]
    assert evil in seen.text

"""stac-api-validator, which gets its JSON Schemas from files instead of their hosts.

``python api_validator.py SCHEMAS [its own arguments]``
"""

import json
import sys
from pathlib import Path

import requests
from pystac.validation import JsonSchemaSTACValidator, set_validator
from stac_api_validator.__main__ import main

from satimnet.builder.catalog.schemas import Schemas

_SCHEMAS = Schemas(Path(sys.argv.pop(1)))
KNOWN = {uri.rstrip("#"): schema for uri, schema in (_SCHEMAS._known | _SCHEMAS._given).items()}
_ask = requests.Session.request


def _answer(session, method, url, *args, **kwargs):
    if url.rstrip("#") not in KNOWN:
        return _ask(session, method, url, *args, **kwargs)
    response = requests.Response()
    response.status_code, response.url = 200, url
    response._content = json.dumps(KNOWN[url.rstrip("#")]).encode()
    return response


if __name__ == "__main__":
    requests.Session.request = _answer
    validator = JsonSchemaSTACValidator()
    validator.schema_cache |= KNOWN
    set_validator(validator)
    main()

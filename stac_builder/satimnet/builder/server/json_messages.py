"""What is asked by HTTP, checked, and answers in JSON."""

from __future__ import annotations

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from satimnet.builder.errors import BadQueryError
from satimnet.builder.types import Json

_MOST_BODY = 2**20  # bytes of a question


def root_of(request: Request) -> str:
    """The URL of the API that was asked, with or without archives."""
    scope = request.scope
    outer = scope.get("app_root_path", scope["root_path"])  # is set below a mount alone
    mount: str = scope["root_path"].removeprefix(outer)
    return str(request.base_url).rstrip("/") + mount


def parameters_of(request: Request, known: set[str] | None = None) -> dict[str, str]:
    """The parameters of a URL.

    Raises:
        BadQueryError: one is given twice, or is not among ``known``.
    """
    pairs = request.query_params.multi_items()
    asked = dict(pairs)
    if len(asked) < len(pairs):
        raise BadQueryError("a parameter is given twice; join its values by commas")
    if known is not None and (unknown := asked.keys() - known):
        raise BadQueryError(f"there is no parameter {', '.join(sorted(unknown))} here")
    return asked


async def body_of(request: Request) -> Json:
    """The JSON object in the body of a request; an empty one where there is no body.

    Raises:
        HTTPException: 413, it is too long.
        BadQueryError: it is no JSON object.
    """
    content = bytearray()
    async for piece in request.stream():
        content += piece
        if len(content) > _MOST_BODY:
            raise HTTPException(413, f"a question has at most {_MOST_BODY} bytes")
    try:
        asked = orjson.loads(content or b"{}")
        orjson.dumps(asked)  # an answer has it in its links, and can be less deep than a question
    except (orjson.JSONDecodeError, orjson.JSONEncodeError) as error:
        raise BadQueryError(f"the body is not JSON: {error}") from None
    if not isinstance(asked, dict):
        raise BadQueryError("the body is no JSON object")
    return asked


def json_response(
    content: Json, media_type: str = "application/json", status: int = 200
) -> Response:
    """An answer in JSON."""
    return Response(orjson.dumps(content), status, media_type=media_type)

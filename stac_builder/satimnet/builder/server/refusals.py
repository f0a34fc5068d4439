"""Errors as answers: which gets which HTTP status, and what it may tell.

An answer names no place of this machine. `SatimnetError` says what the client can mend; any other
error is a fault of ours, whose reason only the log has.
"""

from __future__ import annotations

from collections.abc import Iterable

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from satimnet.builder.errors import NotFoundError, SatimnetError, TooSlowError
from satimnet.builder.server.json_messages import json_response

_LONGEST_REASON = 1000  # characters
_REFUSALS = (
    (NotFoundError, 404, "NotFound"),
    (TooSlowError, 422, "TooCostly"),
    (SatimnetError, 400, "InvalidParameterValue"),
)


class Refusals:
    """Answers to requests that fail; ``folders`` are those of this machine that stay untold."""

    def __init__(self, folders: Iterable[str]) -> None:
        self._folders = list(filter(None, folders))

    async def of_question(self, request: Request, error: Exception) -> Response:
        """Says why a question has no answer."""
        reason = str(error)
        for folder in self._folders:
            for place in {folder, folder.replace("'", "''"), repr(folder)[1:-1]}:
                reason = reason.replace(f"{place}/", "").replace(place, "the catalog")
        status, code = next(
            (status, code) for kind, status, code in _REFUSALS if isinstance(error, kind)
        )
        if status == 404 and not request.path_params:
            # The path is right; what is not there is a collection or a file that a question needs.
            status, code = 400, "InvalidParameterValue"
        if len(reason) > _LONGEST_REASON:
            reason = f"{reason[:_LONGEST_REASON]}…"
        return json_response({"code": code, "description": reason}, status=status)

    async def of_request(self, request: Request, error: Exception) -> Response:
        """Says in JSON what is wrong with a request."""
        assert isinstance(error, HTTPException)
        content = {"code": str(error.status_code), "description": error.detail}
        response = json_response(content, status=error.status_code)
        response.headers.update(error.headers or {})
        return response

    async def of_fault(self, request: Request, error: Exception) -> Response:
        """Says that the fault is ours."""
        reason = "a fault of satimnet; the server's log has more, please report it"
        return json_response({"code": "ServerError", "description": reason}, status=500)

"""Packages that only some of the functions need."""

from __future__ import annotations

import importlib
from typing import Any

from satimnet.builder.errors import SatimnetError


def needed(module: str, extra: str) -> Any:
    """Imports a module of another package.

    Args:
        module: Its full name.
        extra: The extra of satimnet that installs it.

    Returns:
        The module.

    Raises:
        SatimnetError: It is not installed, or cannot be imported.
    """
    package = module.partition(".")[0]
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        missing = (error.name or package).partition(".")[0]
        raise SatimnetError(
            f"{missing} is not installed; pip install 'satimnet[{extra}]'"
        ) from error
    except (ImportError, RuntimeError) as error:  # as with a torchvision made for another torch
        raise SatimnetError(
            f"{package} cannot be imported ({error}); install builds of torch and torchvision that "
            "belong together"
        ) from error

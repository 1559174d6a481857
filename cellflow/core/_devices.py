"""The device on which torch computes."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from cellflow.errors import InputError, SetupError

if TYPE_CHECKING:
    import torch

__all__ = ["choose_device", "remembered_device"]

logger = logging.getLogger("cellflow")


def choose_device(name: torch.device | str) -> torch.device:
    """Return the device of this name; `"auto"` is a GPU where there is one, and is logged.

    Raises
    ------
    InputError
        A name that torch does not know.
    SetupError
        A device that this machine does not have.
    """
    import torch

    available = ["cpu", *(f"cuda:{k}" for k in range(torch.cuda.device_count()))]
    if isinstance(name, str) and name == "auto":
        chosen = torch.device("cuda" if len(available) > 1 else "cpu")
        logger.info("device='auto' takes %s", chosen)
        return chosen
    try:
        device = torch.device(name)
    except (RuntimeError, TypeError):
        device = None
    found = device is not None and (
        device.type == "cpu"
        or str(device) in available
        or (str(device) == "cuda" and len(available) > 1)
    )
    if device is None or not found:
        msg = f"device={str(name)!r} is not available; found {available}."
        raise SetupError(msg) if device is not None else InputError(msg)
    return device


def remembered_device(name: str) -> torch.device:
    """Return the device of a stored fit where the machine has it, else the CPU (logged)."""
    try:
        return choose_device(name)
    except (InputError, SetupError):
        logger.info("device=%r of the fit is not available here; computing on the CPU", name)
        return choose_device("cpu")

"""Errors on their way between an engine and a worker.

The one rule: what cannot be put together again at the other end does not cross: it would break the line,
and with it every send of that worker.
"""

from __future__ import annotations

import pickle

from ..errors import TransferError
from ..send.noting import own, plain


def crossable(error: Exception) -> Exception:
    """The error, or the nearest to it that can cross."""
    if isinstance(error, TransferError):
        return plain(error)
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301  # just made here
    except Exception:  # noqa: BLE001  # whatever a class's own code raises
        return RuntimeError(f"a worker failed with {type(error).__name__}; please report this defect")
    return error


def restored(error: BaseException | None, raised: TransferError | None) -> BaseException | None:
    """What came back of an error that was raised here is that very error, with what was added to it."""
    if raised is None or not isinstance(error, TransferError):
        return error
    if type(error) is not type(plain(raised)) or not error.message.startswith(raised.message):
        return error
    raised = own(raised)
    vars(raised).update(vars(error))
    raised.args = error.args
    return raised

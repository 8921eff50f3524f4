"""Errors on their way between an engine and a worker.

The one rule: what cannot be put together again at the other end does not cross: it would break the line,
and with it every send of that worker.
"""

from __future__ import annotations

import pickle

from .. import errors
from ..errors import TransferError


def crossable(error: Exception) -> Exception:
    """The error, or the nearest to it that can cross."""
    if isinstance(error, TransferError):
        return plain(error)
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301  # just made here
    except Exception:  # noqa: BLE001  # whatever a class's own code raises
        return RuntimeError(f"a worker failed with {type(error).__name__}; please report this defect")
    return error


def plain(error: TransferError) -> TransferError:
    """The error as the nearest class of ours, with what that knows: a journal's may be its own."""
    kind = next(each for each in type(error).__mro__ if each.__module__ == errors.__name__)
    made: TransferError = kind(error.message)
    vars(made).update({name: value for name, value in vars(error).items() if hasattr(made, name)})
    return made


def restored(error: BaseException | None, raised: TransferError | None) -> BaseException | None:
    """What came back of an error that was raised here is that very error, with what was added to it."""
    if raised is None or not isinstance(error, TransferError):
        return error
    if type(error) is not type(plain(raised)) or not error.message.startswith(raised.message):
        return error
    vars(raised).update(vars(error))
    raised.args = error.args
    return raised

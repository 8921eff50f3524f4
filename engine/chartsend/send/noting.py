"""What became of a send, told to the journal, and what becomes of it when the journal cannot note it.

The one rule: a receipt says what became of its own document, whatever the journal raises and however
often it raises the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from .. import errors
from ..aio import finish
from ..document import ReceiptError
from ..errors import OutcomeUnknownError, Phase, TransferError
from ..ports import NoJournal, NotAppliedJournal

if TYPE_CHECKING:
    from ..document import Receipt
    from ..ports import Journal
    from .ask import Ask

JOURNAL_S: Final = 30.0
"""How long a journal may take to note a result of a caller who has gone."""


class Noting:
    """Tells a journal how sends ended.

    Args:
        journal: Told.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._is_kept = type(journal) is not NoJournal
        self._hears_of_nothing = journal if isinstance(journal, NotAppliedJournal) else None

    async def result(self, ask: Ask, receipt: Receipt, error: TransferError | None = None) -> None:
        """Tell the result, also when the caller is being cancelled: the outcome is a fact.

        Args:
            ask: What was asked.
            receipt: How it ended.
            error: What the caller would get; None when it was accepted.

        Raises:
            OutcomeUnknownError: The journal raised a `TransferError`, and the document is at the server
                or may be; with `receipt` set, in doubt.
            TransferError: The journal raised it, and nothing was applied; with `receipt` set.
        """
        if not self._is_kept:
            return
        try:
            await finish(JOURNAL_S, lambda: self._journal.result(ask.row, receipt))
        except TransferError as raised:
            has_failed = receipt.status == "failed"
            failure = own(raised) if has_failed else _doubt(receipt, error, raised)
            failure.document_id = ask.document_id
            failure.receipt = receipt if has_failed else _in_doubt(receipt, failure)
            if failure is raised:
                raise
            raise failure from raised

    def not_applied(self, ask: Ask) -> None:
        """Tell that a send was given up without a result, and that no message of it can be applied."""
        if self._hears_of_nothing is not None:
            self._hears_of_nothing.not_applied(ask.row)


def own(error: TransferError) -> TransferError:
    """An error for one document alone: a journal may raise one object again and again."""
    if error.receipt is None:
        return error
    made: TransferError = type(error).__new__(type(error))  # its `__init__` may want anything
    made.args = error.args
    vars(made).update(vars(error))
    return made


def plain(error: TransferError) -> TransferError:
    """The error as the nearest class of ours, with what that knows: a journal's may be its own."""
    kind = next(each for each in type(error).__mro__ if each.__module__ == errors.__name__)
    made: TransferError = kind(error.message)
    vars(made).update({name: value for name, value in vars(error).items() if hasattr(made, name)})
    return made


def _doubt(receipt: Receipt, error: TransferError | None, raised: TransferError) -> TransferError:
    """What a caller gets whose document is at the server, or may be, when nobody could note that."""
    if receipt.status == "accepted":
        found = "the document was accepted, so it is in the chart or on its way there"
    else:
        found = "the message may be in the chart"
    return OutcomeUnknownError(
        f"{found}, but the journal could not note that ({raised.code}): mend the journal, and look for"
        " the document id in the Redox logs before sending it again",
        phase=Phase.ANSWERED if error is None else error.phase,
        status=None if error is None else error.status,
    )


def _in_doubt(receipt: Receipt, failure: TransferError) -> Receipt:
    """The receipt as the caller gets it: whatever else is known stays."""
    told = ReceiptError(code=failure.code, message=failure.message)
    return msgspec.structs.replace(receipt, status="in_doubt", error=told)

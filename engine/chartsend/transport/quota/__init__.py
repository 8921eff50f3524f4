"""The request quota: one exact rolling window for all processes of a user that speak to one API origin.

The one rule: never more requests than the quota in any window, whatever processes start, die or wait.

`quota.py` gives out turns; `line.py` is who waits for one. `window.py`, `pace.py` and `terms.py` compute
when there is one. `ring.py` is the file that processes share, `page.py` its format, `place.py` where it
lies, `seat.py` one engine's place at it, `record.py` what it has to write there, `process.py` who still
lives, `clock.py` the clock, and `state.py` what others can see.
"""

from .quota import Quota, Turn
from .state import QuotaState, read_state
from .terms import SHARE, Terms

__all__ = ["SHARE", "Quota", "QuotaState", "Terms", "Turn", "read_state"]

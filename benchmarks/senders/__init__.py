"""Everybody who sends: chartsend, what people use instead, and the floors below them all.

The one rule: each does the whole job as a competent user of that tool would write it, in one process
of its own: `python -m benchmarks.senders.NAME` (see `stage.py`).
"""

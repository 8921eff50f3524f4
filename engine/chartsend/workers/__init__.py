"""Sends in several processes: one engine, one quota, one journal, and the cores of the machine.

`crew.py` is the engine's side, `member.py` one worker as the engine sees it, `job.py` one send there.
`child.py` is what runs in a worker, `remote.py` how that reaches the engine's journal and tokens.
`wire.py` is what they say to each other, `line.py` how it travels, `start.py` starts and ends processes,
`count.py` says how many are worth starting.
"""

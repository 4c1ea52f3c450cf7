"""What a message costs, as counts: bytecodes, calls, reads and writes, objects. They do not flake, so a regression of 10 % fails.

`python -m tests.counts` shows what is counted here beside what is recorded in `record.txt`; `--record` records it anew.
"""

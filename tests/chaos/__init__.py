"""Chaos: the bridge is killed again and again while messages cross, and afterwards both ends are compared.

``python -m tests.chaos --kills 40 --seed 1``; the last line printed is JSON. `judge` holds what counts as lost,
doubled and out of order; `inflight` what may be uncertain; `plan` what is killed when; `run` does it.
"""

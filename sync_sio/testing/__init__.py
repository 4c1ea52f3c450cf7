"""What tests are made with: a client in memory, and a time that moves when told. docs/testing.md shows how.

`manual` is the driver behind that time; `interleave` runs threads in seeded schedules, and needs gevent's greenlets.
"""

from .client import TestClient
from .clock import ManualTime

__all__ = ["ManualTime", "TestClient"]

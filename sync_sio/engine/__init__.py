"""Engine.IO: who is connected, and how bytes reach them. This floor does not know that Socket.IO exists.

`EngineServer` is usable on its own.
"""

from .server import EngineServer

__all__ = ["EngineServer"]

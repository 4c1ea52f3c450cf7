"""Engine.IO: who is connected, and how bytes reach them. This floor does not know that Socket.IO exists."""

"""Bytes and values: the wire formats, and nothing that knows a socket, a thread, a clock or a log."""

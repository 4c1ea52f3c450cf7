"""Runtimes: the only code that blocks, spawns, reads a clock or touches descriptors. `base` says what the floors above may ask."""

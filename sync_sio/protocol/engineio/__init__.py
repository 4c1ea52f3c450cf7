"""Engine.IO v4: its packets, and the payloads of HTTP long-polling."""

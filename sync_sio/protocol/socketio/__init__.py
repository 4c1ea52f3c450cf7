"""Socket.IO v5: its packets, and their default encoding as JSON with binary attachments."""

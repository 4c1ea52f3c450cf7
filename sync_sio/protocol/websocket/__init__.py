"""WebSocket (RFC 6455) as a server speaks it: the opening handshake, frames, and permessage-deflate (RFC 7692)."""

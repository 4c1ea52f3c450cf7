"""Real servers, real clients: every test here talks over loopback to a server process of its own."""

"""The HTTP toolkit: requests, the client's socket, compression, the client bundle, and a server of our own."""

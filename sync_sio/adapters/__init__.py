"""How the servers of a cluster reach each other: messages as values, and what an adapter is."""

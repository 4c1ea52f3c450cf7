"""The worker processes of one machine that share an address: how they find each other, and what they pass on."""

"""Other processes that serve the same clients: how the workers of one machine find each other, and the seam to what reaches further."""

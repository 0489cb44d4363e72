"""The commands for a running server: what they ask, and what they print. No Twisted."""

"""The commands for a server that runs: what they ask, and what they show. No Twisted."""

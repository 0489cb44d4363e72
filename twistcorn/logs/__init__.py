"""Logs: formats events and the application's output as lines, and writes them without blocking any caller."""

"""Turns: which thread runs a request, which one leads the loop, and whose time is over.

Law: may import loop, http and process. It never touches a socket and never parses a byte.
"""

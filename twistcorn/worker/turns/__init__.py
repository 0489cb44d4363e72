"""Turns: decides which thread runs a request, which thread leads the loop, and which requests time out.

Law: may import loop, http and process. It never touches a socket and never parses a byte.
"""

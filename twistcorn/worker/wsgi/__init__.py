"""WSGI: the environ, the call of the application, and its answer on the way to the client.

Law: the top of the worker. May import turns, loop, http and process; only `lifecycle` and the AMP child import it.
"""

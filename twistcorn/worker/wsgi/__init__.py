"""WSGI: builds the environ, calls the application, sends its response to the client.

Law: the top of the worker. May import turns, loop, http and process; only `lifecycle` and the AMP child import it.
"""

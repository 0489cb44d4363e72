"""HTTP/1.1 on bytes: heads, bodies, responses, and the fields of trusted proxies.

Law: pure, the bottom of the worker. No socket, no thread, no application.
"""

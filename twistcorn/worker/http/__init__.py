"""HTTP/1.1 on bytes: heads, bodies, responses, and what trusted proxies say.

Law: pure, the bottom of the worker. No socket, no thread, no application.
"""

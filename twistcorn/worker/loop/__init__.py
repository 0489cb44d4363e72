"""The loop: a worker's reactor and its connections, with their events, deadlines and redo logs.

Law: may import http and process. It hands out complete requests and gets the connections back; which thread answers,
and how, is decided above.
"""

"""The loop: the reactor, the connections of a worker, their events, deadlines and redo log.

Law: may import http and process. It gives requests away and gets connections back; which thread answers, and how, is
decided above.
"""

"""The control socket: who may speak, what may be asked, and how it is done.

Law: may import metrics, workers and sockets. Commands change the server through `operations` alone, which the admin
endpoint uses as well.
"""

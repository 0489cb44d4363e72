"""The control socket: who may connect, the commands, and how each is carried out.

Law: may import metrics, workers and sockets. Commands change the server through `operations` alone, which the admin
endpoint uses too.
"""

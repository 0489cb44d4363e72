"""The parts of ``python -m bench disruption``: the clients, the servers, what is done to them, what must hold.

Law: imports go one way, from the scenarios to the stage, the crowd and the answers; the command is beside this folder.
"""

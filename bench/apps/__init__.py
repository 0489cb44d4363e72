"""The WSGI applications under load, one a module.

Law: the servers import each as a top-level module (``hello:app``); none imports anything of ours.
"""

"""Pure decisions: no reactor, no socket, no process, no clock; time is a parameter."""

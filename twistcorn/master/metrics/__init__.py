"""What the server tells about itself: metrics, samples, StatsD, and a snapshot of what it does right now.

Law: may import workers and sockets. It reads them and changes nothing.
"""

"""Two replicas, a real Redis and nginx under random faults: does any client see a failure that the proxy caused?"""

"""`make counts`: do `/metrics`, the log and the provider count the same, though a worker is killed?"""

"""What a measurement is made of: providers, proxies, and the processes they run in."""

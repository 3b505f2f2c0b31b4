"""`make faults`: every way in which providers, Redis, clients and processes fail, against the real server process.

What each module does, for other runs that want a part of it (`make chaos` takes two proxies and one Redis):

- `proxy.py`: `Replica`, a proxy as a process of its own: start, stop, kill, its log, its pages, its workers.
- `worker.py`: that process: what `python -m entrypoints.http` runs, with a look inside, and a clock that may be wrong.
- `inside.py`: `Inside`, what one worker holds at a moment: tasks, files, connections by their other end, leases, bytes.
- `general.py`: the general checks: what must be so after every case (`Leftovers`, `canaries_in`, `told_by_health`).
- `asking.py`: `Asker`, requests and what became of them, as a client can tell; one at a time, many at once, at a rate.
- `world.py`: `World`, what a case has at hand, closed with the case: providers, scripted servers, Redis, proxies.
- `slow_way.py`: a way to a server that delays what comes back, in a process of its own.
- `case.py`: `Figure` (what was measured, and its bound), `Case`, and the list of all cases.
- `results.py`, `page.py`: what is kept in bench/results/faults.json, and docs/reliability.md, which is made of it.
- `cases/`: the cases, a module for each kind of thing that fails.

Providers are `simulator.SimulatedProvider` (`set_faults`, `refuse(seconds)`, `change`, `counts()`), or
`tests.contracts.scripted_server.ScriptedServer` where bytes matter; a Redis is `tests.redis_server.RedisServer`
(`start`, `kill`, `freeze`, `thaw`, `command`).
"""

"""The rules of routing, kept pure.

Everything in this package is a frozen value or a function of values: state goes in, new state comes out, and time and
dice are arguments. Nothing here does I/O, reads a clock, logs, sleeps or draws a random number; import-linter holds it
to that. Times called `now`, `until` or `started` are seconds of one monotonic clock, the same for all calls.
"""

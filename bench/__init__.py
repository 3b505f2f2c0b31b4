"""How fast is it: every row of the performance budget, measured on this machine. `python -m bench --help`."""

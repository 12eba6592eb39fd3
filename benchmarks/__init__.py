"""Benchmarks: each measures pairs in one run and ends with one line of JSON. `./dev bench NAME` runs one."""

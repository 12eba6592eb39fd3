"""What the benchmarks run on: servers of their own, a seeded data set, and workers in processes of their own."""

"""Which statements a database runs, what they cost, what has become slower, and what index would help."""

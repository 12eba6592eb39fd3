-- Purpose: what is left of the run's budget, where that is less than a check may take.
SELECT set_config('statement_timeout', %(milliseconds)s, false)

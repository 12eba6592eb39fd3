-- Purpose: execute a query and measure every step of its plan. Only on a standby or a copy, only after an approval.
-- Note:    without TIMING, which asks the clock twice for every row of every step.
EXPLAIN (ANALYZE, BUFFERS, VERBOSE, COSTS, TIMING OFF, FORMAT JSON) {statement}

-- Purpose: let this session's planner believe in an index; its estimated size, and its name in plans.
SELECT {schema}.hypopg_relation_size(h.indexrelid), h.indexname FROM {schema}.hypopg_create_index(%(statement)s) AS h

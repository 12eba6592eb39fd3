-- Purpose: a partition of a partition that is not attached yet: nobody is disturbed.
CREATE TABLE {table} PARTITION OF {parent} {bounds} {tablespace}

-- Purpose: how many rows of DEFAULT stand in the way of a new partition, counted no further than one above the limit.
SELECT count(*) FROM (SELECT FROM {default} WHERE {condition} LIMIT {limit}) AS rows

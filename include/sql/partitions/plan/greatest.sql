-- Purpose: the greatest key of a partition: the end of an index, where the key has one; else the partition is read.
SELECT max({key})::bigint FROM {partition}

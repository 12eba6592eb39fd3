-- Purpose: a condition: this row is none of those that were left out on purpose.
NOT EXISTS (SELECT FROM pgops.backfill_skipped s WHERE s.job = {job} AND s.part = {part} AND s.key = {identity})

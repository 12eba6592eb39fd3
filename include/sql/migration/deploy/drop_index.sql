-- Purpose: away with an invalid index, without keeping anybody waiting.
DROP INDEX CONCURRENTLY IF EXISTS {index}

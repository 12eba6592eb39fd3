-- Purpose: the sibling is published by itself, so its new neighbour is too.
ALTER PUBLICATION {publication} ADD TABLE ONLY {table}

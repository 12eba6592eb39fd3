-- Purpose: the function says who made it, and from which expression.
COMMENT ON FUNCTION {function}() IS {mark}

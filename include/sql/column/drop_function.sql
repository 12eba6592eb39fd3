-- Purpose: the trigger's function goes with it.
DROP FUNCTION IF EXISTS {function}()

-- Purpose: let all statements of this transaction see the same instant: a row cannot move from what was not yet looked at to
--          what was.
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ

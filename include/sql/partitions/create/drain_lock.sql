-- Purpose: nobody puts a row into DEFAULT between the move and ATTACH, which needs the same lock on DEFAULT: asked for
--          before the work, not after it.
-- Locks:   ShareUpdateExclusive on the parent, AccessExclusive on DEFAULT.
LOCK TABLE ONLY {parent} IN SHARE UPDATE EXCLUSIVE MODE;
LOCK TABLE {default} IN ACCESS EXCLUSIVE MODE

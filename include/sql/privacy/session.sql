-- Purpose: a row that row security hides must be an error, not a subject without rows; and a key's text must not depend
--          on who asks.
-- Source: the settings that output functions look at.
SET row_security = off;
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
SET intervalstyle = 'postgres';
SET extra_float_digits = 3;
SET bytea_output = 'hex'

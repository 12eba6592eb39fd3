-- given: CREATE TYPE mood AS ENUM ('sad', 'happy')
-- refused because: the rollback leaves an enum value behind
SELECT 1;

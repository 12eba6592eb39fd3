-- Purpose: statements that the server has forgotten: when they come back they begin anew. Those of another major
--          version are gone, too.
UPDATE pgops.query_counters SET present = false
 WHERE present AND (statement = ANY (%(gone)s)
                    OR statement IN (SELECT id FROM pgops.query_statements
                                      WHERE database = %(database)s AND major <> %(major)s))

-- Purpose: how far a partition has come. An oid may be used again after its table is gone: facts of another table's row
--          are not kept.
INSERT INTO pgops.partition_states AS had (database, oid, schema, name, parent, range, state, archive, drop_after,
                                           facts)
VALUES (%(database)s, %(oid)s, %(schema)s, %(name)s, %(parent)s, %(range)s, %(state)s, %(archive)s, %(drop_after)s,
        %(facts)s::jsonb)
ON CONFLICT (database, oid) DO UPDATE
   SET schema = excluded.schema,
       name = excluded.name,
       parent = excluded.parent,
       range = excluded.range,
       state = excluded.state,
       archive = excluded.archive,
       drop_after = excluded.drop_after,
       facts = CASE WHEN (had.parent, had.range) = (excluded.parent, excluded.range) AND had.state <> 'dropped'
                    THEN had.facts || excluded.facts ELSE excluded.facts END,
       changed_at = clock_timestamp()

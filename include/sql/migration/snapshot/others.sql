-- Purpose: that objects of the rarer kinds exist: casts, operators and their classes, collations, conversions, text
--          search, languages, transforms, access methods, wrappers. What they are in detail is in the schema dump.
WITH rare AS (
    SELECT 'pg_cast'::regclass AS classid, oid FROM pg_cast
    UNION ALL SELECT 'pg_operator'::regclass, oid FROM pg_operator
    UNION ALL SELECT 'pg_opclass'::regclass, oid FROM pg_opclass
    UNION ALL SELECT 'pg_opfamily'::regclass, oid FROM pg_opfamily
    UNION ALL SELECT 'pg_collation'::regclass, oid FROM pg_collation
    UNION ALL SELECT 'pg_conversion'::regclass, oid FROM pg_conversion
    UNION ALL SELECT 'pg_ts_config'::regclass, oid FROM pg_ts_config
    UNION ALL SELECT 'pg_ts_dict'::regclass, oid FROM pg_ts_dict
    UNION ALL SELECT 'pg_ts_parser'::regclass, oid FROM pg_ts_parser
    UNION ALL SELECT 'pg_ts_template'::regclass, oid FROM pg_ts_template
    UNION ALL SELECT 'pg_language'::regclass, oid FROM pg_language
    UNION ALL SELECT 'pg_transform'::regclass, oid FROM pg_transform
    UNION ALL SELECT 'pg_am'::regclass, oid FROM pg_am
    UNION ALL SELECT 'pg_foreign_data_wrapper'::regclass, oid FROM pg_foreign_data_wrapper
)
SELECT o.type || ' ' || o.identity AS what, 'exists' AS definition
  FROM rare r
  CROSS JOIN LATERAL pg_identify_object(r.classid, r.oid, 0) AS o
 WHERE r.oid >= 16384
   AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = r.classid AND e.objid = r.oid AND e.deptype = 'e')

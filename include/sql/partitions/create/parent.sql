-- Purpose: all that a new partition takes over from its parent and from its newest sibling, and the tables whose locks
--          ATTACH will ask for.
--          Foreign keys that lead here are found by their triggers: pg_constraint has no index on confrelid.
-- Parameters: $1 the parent's oid, $2 the sibling's. Prepared: planning it takes longer than running it.
-- Note:    a partition inherits neither storage options, privileges, replica identity nor row security from its parent:
--          they are what somebody has set on its siblings.
WITH parent AS (
    SELECT c.* FROM pg_class c WHERE c.oid = $1
), sibling AS (
    SELECT c.*, i.inhparent FROM pg_class c JOIN pg_inherits i ON i.inhrelid = c.oid
     WHERE c.oid = $2 AND i.inhparent = $1
)
SELECT pn.nspname AS schema, p.relname AS name, p.relkind = 'p' AS partitioned,
       o.rolname AS owner,
       pg_has_role(p.relowner, 'USAGE') AS may_alter,
       has_schema_privilege(p.relnamespace, 'CREATE') AS may_create,
       p.relowner = (SELECT r.oid FROM pg_roles r WHERE r.rolname = current_user) AS is_owner,
       ts.spcname AS tablespace,
       am.amname AS access_method,
       (1000 * extract(epoch FROM current_setting('deadlock_timeout')::interval))::int AS deadlock_timeout_ms,
       ARRAY(SELECT f.confrelid FROM pg_constraint f WHERE f.conrelid = p.oid AND f.contype = 'f'
              UNION SELECT t.tgconstrrelid FROM pg_trigger t WHERE t.tgrelid = p.oid AND t.tgconstrrelid <> 0) AS related,
       ARRAY(SELECT json_build_array(k.oid::bigint, pg_get_expr(k.relpartbound, k.oid), i.inhdetachpending, k.relname)
               FROM pg_inherits i JOIN pg_class k ON k.oid = i.inhrelid WHERE i.inhparent = p.oid) AS partitions,
       s.oid AS sibling,
       s.relpersistence AS persistence,
       s.relreplident AS replica_identity,
       (SELECT pi.inhparent FROM pg_index x JOIN pg_inherits pi ON pi.inhrelid = x.indexrelid
         WHERE x.indrelid = s.oid AND x.indisreplident) AS replica_index,
       s.relrowsecurity AS row_security, s.relforcerowsecurity AS force_row_security,
       (SELECT count(*) FROM pg_policy q WHERE q.polrelid = s.oid) AS policies,
       ARRAY(SELECT json_build_array(op.option_name, op.option_value) FROM pg_options_to_table(s.reloptions) op
              UNION ALL
             SELECT json_build_array('toast.' || op.option_name, op.option_value)
               FROM pg_class t, pg_options_to_table(t.reloptions) op WHERE t.oid = s.reltoastrelid) AS options,
       CASE WHEN s.relkind = 'p' THEN pg_get_partkeydef(s.oid) END AS partition_key,
       (SELECT kp.partstrat FROM pg_partitioned_table kp WHERE kp.partrelid = s.oid) AS sub_strategy,
       CASE WHEN s.relkind = 'p' THEN
            ARRAY(SELECT json_build_array(k.relname, pg_get_expr(k.relpartbound, k.oid), k.relkind)
                    FROM pg_inherits i JOIN pg_class k ON k.oid = i.inhrelid
                   WHERE i.inhparent = s.oid AND NOT i.inhdetachpending ORDER BY k.relname) END AS children,
       s.oid IS NULL OR EXISTS (SELECT FROM pg_statistic_ext e WHERE e.stxrelid = s.oid) AS own_statistics,
       ARRAY(SELECT json_build_array(pu.pubname, pr.prqual IS NOT NULL OR pr.prattrs IS NOT NULL)
               FROM pg_publication_rel pr JOIN pg_publication pu ON pu.oid = pr.prpubid
              WHERE pr.prrelid = s.oid) AS publications,
       ARRAY(SELECT json_build_array(NULL, g.rolname, a.privilege_type, a.is_grantable)
               FROM aclexplode(s.relacl) a LEFT JOIN pg_roles g ON g.oid = a.grantee WHERE a.grantee <> s.relowner
              UNION ALL
             SELECT json_build_array(c.attname, g.rolname, a.privilege_type, a.is_grantable)
               FROM pg_attribute c, aclexplode(c.attacl) a LEFT JOIN pg_roles g ON g.oid = a.grantee
              WHERE c.attrelid = s.oid AND c.attnum > 0 AND a.grantee <> s.relowner) AS grants,
       ARRAY(SELECT DISTINCT g.rolname
               FROM pg_default_acl d, aclexplode(d.defaclacl) a LEFT JOIN pg_roles g ON g.oid = a.grantee
              WHERE d.defaclobjtype = 'r' AND d.defaclnamespace IN (0, p.relnamespace) AND a.grantee <> d.defaclrole
                AND d.defaclrole = (SELECT r.oid FROM pg_roles r WHERE r.rolname = current_user)) AS default_grantees
  FROM parent p
  JOIN pg_namespace pn ON pn.oid = p.relnamespace
  JOIN pg_roles o ON o.oid = p.relowner
  LEFT JOIN pg_tablespace ts ON ts.oid = p.reltablespace
  LEFT JOIN pg_am am ON am.oid = p.relam
  LEFT JOIN sibling s ON true

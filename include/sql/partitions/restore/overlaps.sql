-- Purpose: whether an archived partition touches a range; NULL is without end. Texts are read as the key's type.
SELECT (%(lower)s::text IS NULL OR %(to)s::text IS NULL
        OR CAST(%(lower)s::text AS {type}) < CAST(%(to)s::text AS {type}))
   AND (%(upper)s::text IS NULL OR %(from)s::text IS NULL
        OR CAST(%(upper)s::text AS {type}) > CAST(%(from)s::text AS {type}))

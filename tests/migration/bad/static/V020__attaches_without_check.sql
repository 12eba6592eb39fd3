-- refused because: attach-without-check
ALTER TABLE measurements ATTACH PARTITION measurements_2026_02 FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');

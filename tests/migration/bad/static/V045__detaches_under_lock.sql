-- refused because: require-concurrent-partition-detach
ALTER TABLE measurements DETACH PARTITION measurements_2026_02;

-- refused because: require-concurrent-reindex
REINDEX TABLE orders;

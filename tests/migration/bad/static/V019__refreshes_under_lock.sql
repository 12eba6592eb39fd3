-- refused because: refresh-not-concurrently
REFRESH MATERIALIZED VIEW orders_by_month;

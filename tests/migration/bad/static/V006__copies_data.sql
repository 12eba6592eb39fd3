-- refused because: copy-from-stdin
CREATE TABLE plans (name text PRIMARY KEY);
COPY plans FROM stdin;
free
paid
\.

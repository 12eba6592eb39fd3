-- refused because: vacuum-full
VACUUM FULL orders;

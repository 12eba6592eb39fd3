-- Purpose: tell the checks of this session what the server cannot know: the size of its disk, its name in the fleet file
SELECT set_config('pgops.' || name, value, false)
  FROM unnest(%(names)s::text[], %(values)s::text[]) AS fact (name, value)

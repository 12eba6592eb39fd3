"""Schema changes: checked, rehearsed on a copy, measured lock by lock, and deployed with evidence."""

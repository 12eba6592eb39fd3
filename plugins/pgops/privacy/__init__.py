"""One person's data: found, exported, erased, and proven to be gone."""

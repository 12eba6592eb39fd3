"""Physical backups and point-in-time recovery: engines that copy, a plan that chooses, a recovery that proves."""

"""The steps of migration_deploy."""

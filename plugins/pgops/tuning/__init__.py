"""The settings of a server against its machine and its work: rules, findings, and a change that can be undone."""

"""Partitions: made before they are needed, retired with proof, and brought back."""

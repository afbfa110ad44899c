"""Store backend for Cassandra: one table per query, written by every worker."""

"""Corpora: texts with vectors, loaded from files, kept in a store, searched in memory."""

"""Stores on object storage: tables of LanceDB in a bucket."""

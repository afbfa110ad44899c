"""Profiles of flows as people read them: tables, what bounds a flow, flame graphs."""

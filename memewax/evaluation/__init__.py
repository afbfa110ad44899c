"""Measured quality: what the models answer on data whose truth is known, by standard measures."""

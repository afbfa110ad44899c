"""Clusters as a step of the flow, and what a store tells of them."""

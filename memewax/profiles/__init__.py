"""Presentation of flow profiles: bottleneck analysis and flame graphs."""

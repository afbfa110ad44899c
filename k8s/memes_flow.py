"""The file that waxctl deploys: the flow itself, its models and what it needs are in the image."""

from dataflows.memes import flow

__all__ = ["flow"]

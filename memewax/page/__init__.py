"""The page: what a flow finds, looked at in a browser while it finds it."""

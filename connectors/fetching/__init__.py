"""Images by the URLs of strangers: what may be reached, at what cost, and what comes of it."""

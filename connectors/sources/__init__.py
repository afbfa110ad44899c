"""Sources of posts, and how a message becomes a post."""

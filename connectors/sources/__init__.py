"""Sources of posts, and parsing of messages into posts."""

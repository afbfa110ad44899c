"""Pages of HTML: the shell, style and images that every page shares."""

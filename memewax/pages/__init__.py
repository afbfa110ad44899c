"""Pages of HTML: the shell, style and pictures that every page shares."""

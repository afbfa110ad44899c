"""Sources that poll Reddit, Imgur and Tumblr, behind the interface of every other source."""

"""The demo: labelled posts, and a comparison of the flow's results with their labels.

`make_posts` writes the posts, `summarise` compares records and dead letters with `load_truth`, and `tables` and
`write_page` present the comparison.
"""

from memewax.demo.demo_figures import DemoSummary
from memewax.demo.demo_tables import tables
from memewax.demo.page import write_page
from memewax.demo.posts import make_posts
from memewax.demo.report import summarise
from memewax.demo.truth import Truth, load_truth

__all__ = ["DemoSummary", "Truth", "load_truth", "make_posts", "summarise", "tables", "write_page"]

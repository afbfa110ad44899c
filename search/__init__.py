"""Search without a flow: corpora, vector indexes, queries and answers, summaries of clusters."""

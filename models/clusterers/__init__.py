"""Ways to cluster a stream of embeddings."""

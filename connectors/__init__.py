"""Input and output: sources, sinks, stores, Kafka, polled services, and fetching of images."""

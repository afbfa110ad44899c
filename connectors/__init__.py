"""Where data comes from and goes: sources, sinks, stores, Kafka, services, and fetching of images."""

"""Steps of the flows: sources, sinks and stateful logic. An operator knows nothing of topics' names."""

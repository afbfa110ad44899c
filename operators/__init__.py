"""The steps of the flows: sources, sinks and stateful logic, independent of topic names."""

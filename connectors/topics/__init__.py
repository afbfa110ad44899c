"""The Kafka topics of memewax: their declarations and schemas, and taps that write the topics of version 1."""

"""The control log: requests to the flow that writes a store, as files that any process adds."""

"""The control log: files with requests to the flow that writes a store, which any process may add."""

"""The analytics store: LanceDB tables in a folder, and the interface of all stores."""

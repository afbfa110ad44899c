"""The analytics store: tables of a LanceDB folder."""

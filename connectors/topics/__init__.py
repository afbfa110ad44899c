"""The topics that memewax speaks: their list, their schemas, and taps into the first version's."""

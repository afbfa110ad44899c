"""Models: batch in, batch out. A model knows nothing of Bytewax."""

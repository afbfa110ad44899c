"""Cache of model results, so that an image or text is processed only once."""

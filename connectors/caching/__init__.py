"""Results of models, kept so that an image or text that was seen before is looked at no more."""

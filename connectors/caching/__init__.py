"""Results of models, kept so that a picture or text that was seen before is looked at no more."""

"""Evaluation of the models on labelled data with standard metrics."""

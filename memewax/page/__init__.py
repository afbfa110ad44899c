"""The web page on a store, live while a flow writes it: views, JSON API and downloads."""

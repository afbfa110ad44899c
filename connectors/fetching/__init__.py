"""Fetch images from untrusted URLs: SSRF guard, limits, decoding, retries and prefetch."""

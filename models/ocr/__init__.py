"""OCR in two halves, chosen apart: a detector finds text, a recogniser reads it; what is mended stands around them."""

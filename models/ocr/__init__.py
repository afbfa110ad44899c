"""OCR in two independent parts: a detector finds text, a recogniser reads it; `reader` combines and corrects them."""

"""One adapter per checkpoint family behind one protocol; torch loads only with a model."""

"""One module for each corpus, which offers it as ``CORPUS``; see `emocli.corpora.protocol`."""

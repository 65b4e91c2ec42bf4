"""Labels of known corpora, read from the folders that they come in.

Each module of `emocli.corpora.readers` knows one corpus by its official names and offers it as
``CORPUS``; a further corpus is a further module. What they have in common, files that are
repeated or missing and the search for a corpus's folder, is in `files` and `registry`, and
parts that share no speaker are made by `splits`.
"""

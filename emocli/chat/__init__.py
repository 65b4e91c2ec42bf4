"""Language models behind OpenAI's protocol: questions, answers that are kept, and batches."""

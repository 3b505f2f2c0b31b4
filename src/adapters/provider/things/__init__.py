"""What an account keeps beside responses, conversations, completions and files: batches, uploads, vector stores, ..."""

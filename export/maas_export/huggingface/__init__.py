"""``maas export hf:DIRECTORY``: models as Hugging Face's libraries save them, from a folder on this machine."""

"""Rows of files of conversations: reading them, their messages, and what is wrong with them."""

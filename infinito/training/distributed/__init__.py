"""What the processes of one training share: figures, decisions and their end."""

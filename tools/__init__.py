"""What only developers of the project need; nobody who uses it has to look here."""

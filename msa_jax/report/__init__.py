"""Finished experiments become tables: reading their folders, comparing them, rendering them."""
